//! Answers in the order of the questions, whatever each of them takes.

use crate::Wish;
use crate::load::{Pool, number_of, seal};
use crate::report::{Bar, Row};
use crate::world::{Gate, PLAIN, World, launch};
use std::collections::HashSet;
use std::time::Duration;

const CONVERSATIONS: usize = 200;
const MESSAGES: usize = 20;
const THINKING: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(2));

pub async fn run(_: &Wish) -> Vec<Row> {
    let world = World::new(THINKING, true).await;
    // Nothing is answered before everything is queued.
    let gate = Gate::before(&world).await;
    // A busy notice would be one more text that is shown.
    let launch = launch(&world, PLAIN).env("MODEL_BASE", &gate.base).env("MINDBOT_PIPELINE__NOTICE_AFTER", "1h");
    let gateway = launch.start();
    let count = CONVERSATIONS * MESSAGES;
    // One connection: what is accepted first was asked first.
    let pool = Pool::new(&gateway.address, seal(&gateway.address, 0..count, CONVERSATIONS), 1);
    pool.against(count, Duration::from_secs(60), || 0).await;
    let samples = pool.finish(count, Duration::from_secs(60)).await;
    let queued = samples.iter().filter(|sample| sample.status == 200).count();
    let early = world.shown();
    gate.open();
    world.wait_for(count, Duration::from_secs(15)).await;
    let mut newest = vec![0; CONVERSATIONS];
    let mut answered = HashSet::new();
    let mut out_of_order = 0;
    for number in world.wecom.sent().iter().filter(|sent| sent.shown).filter_map(|sent| number_of(&sent.text)) {
        let before = std::mem::replace(&mut newest[number % CONVERSATIONS], number);
        out_of_order += usize::from(before > number);
        answered.insert(number);
    }
    drop(gateway);
    world.end().await;
    let row =
        Row::new("order", "200 conversations × 20 messages queued before the first answer, the model takes 0 to 2 s")
            .none_of("out of order", out_of_order)
            .none_of("not answered", count - answered.len())
            .none_of("answered before everything was queued", early)
            .value("queued", queued as f64, "", Bar::AtLeast(count as f64));
    vec![row]
}
