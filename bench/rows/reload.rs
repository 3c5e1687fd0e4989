//! One changed key in the configuration file while messages flow.

use crate::Wish;
use crate::admin::{Admin, others_restarted};
use crate::load::unix_ms;
use crate::report::{Bar, Row};
use crate::traffic::Traffic;
use crate::world::{PLAIN, World, launch};
use std::time::Duration;

const RATE: f64 = 200.0;
const CHANGED: &str = "changed-model";
/// The actor of the changed section.
const NAMED: &str = "provider/model";

pub async fn run(_: &Wish) -> Vec<Row> {
    let world = World::new((Duration::ZERO, Duration::ZERO), true).await;
    let gateway = launch(&world, PLAIN).start();
    let admin = Admin::of(&gateway);
    let before = admin.actors().await;
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    let changed = text.replace("models = [\"stand-in\"]", &format!("models = [\"{CHANGED}\"]"));
    assert_ne!(text, changed);
    let scene = async {
        std::fs::write(gateway.config(), changed).unwrap();
        let written = unix_ms();
        let is_seen = || world.model.prompts().last().is_some_and(|prompt| prompt["model"] == CHANGED);
        while !is_seen() && unix_ms() - written < 10_000.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let took = unix_ms() - written;
        tokio::time::sleep(Duration::from_secs(2)).await;
        took
    };
    let (traffic, took) = Traffic::during(&world, &gateway.address, RATE, 0, Duration::from_secs(20), scene).await;
    let after = admin.actors().await;
    let others = others_restarted(&before, &after, |path| path == NAMED);
    let named = usize::from(before.get(NAMED) == after.get(NAMED));
    drop(gateway);
    world.end().await;
    let row = Row::new("reload", "one changed key in config.toml under load")
        .value("from the write until the model is asked with the new value", took, "ms", Bar::AtMost(1000.0))
        .none_of("named actors not restarted", named)
        .none_of("other actors restarted", others.len())
        .none_of("acknowledged and lost", traffic.lost())
        .none_of("answered twice", traffic.doubled())
        .none_of("refused", traffic.refused())
        .value("answered meanwhile", traffic.taken() as f64, "", Bar::None);
    if !others.is_empty() {
        eprintln!("others restarted: {others:?}");
    }
    vec![row.note(format!("{RATE} messages/s"))]
}
