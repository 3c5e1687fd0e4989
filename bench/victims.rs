//! Members whose conversation is made to fail in the middle of an answer, and what they were shown after all.

use crate::load::{AGENT, callback, unix_ms};
use crate::support::chat::client;
use crate::world::World;
use std::cell::Cell;

/// Words of an answer, 100 ms apart: time enough to fail in.
const WORDS: usize = 20;

pub struct Victims {
    hook: String,
    count: Cell<usize>,
}

impl Victims {
    pub fn of(address: &str) -> Self {
        Self { hook: format!("http://{address}/hooks/wecom"), count: Cell::new(0) }
    }

    /// Has a new member write, and answers the path of the conversation that is about to work on it.
    pub async fn write(&self) -> String {
        let user = member(self.count.replace(self.count.get() + 1));
        let path = format!("conversation/wecom|{AGENT}|private|{user}|");
        let callback = callback(user.clone(), format!("slow:{WORDS}"), user);
        let (query, body) = callback.seal((unix_ms() / 1000.0) as i64).unwrap();
        let taken = client().post(format!("{}?{query}", self.hook)).body(body).send().await.unwrap();
        assert_eq!(taken.status(), 200, "a victim's message is taken");
        path
    }

    /// How many were not shown their whole answer, and how many more than once.
    pub fn lost_and_doubled(&self, world: &World) -> (usize, usize) {
        let sent = world.wecom.sent();
        let whole = format!("word{WORDS}");
        let is_whole = |text: &str| text.trim_end().ends_with(&whole);
        let answers =
            |user: &str| sent.iter().filter(|sent| sent.shown && sent.touser == user && is_whole(&sent.text)).count();
        let answers: Vec<usize> = (0..self.count.get()).map(|number| answers(&member(number))).collect();
        (answers.iter().filter(|count| **count == 0).count(), answers.iter().filter(|count| **count > 1).count())
    }
}

fn member(number: usize) -> String {
    format!("victim-{number}")
}
