//! The actor tree of a gateway as an administrator sees it, and the faults that can be put into it.

use super::chat::client;
use super::eventually;
use super::gateway::{Gateway, KEY};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// One actor of the list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Actor {
    pub path: String,
    pub parent: Option<String>,
    pub kind: String,
    pub state: String,
    pub generation: u64,
    pub restarts: u64,
    pub last_error: Option<String>,
}

/// Everybody by path.
pub type Board = BTreeMap<String, Actor>;

/// Talks to the actors' part of the admin API.
pub struct Actors {
    base: String,
    client: reqwest::Client,
}

impl Actors {
    pub fn of(gateway: &Gateway) -> Self {
        Self { base: gateway.url("/api/v1/actors"), client: client() }
    }

    pub async fn board(&self) -> Board {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Actor>,
        }
        let response = self.client.get(&self.base).bearer_auth(KEY).send().await.unwrap();
        let page: Page = response.error_for_status().unwrap().json().await.unwrap();
        page.items.into_iter().map(|actor| (actor.path.clone(), actor)).collect()
    }

    /// Asks for a fault; the status of the answer.
    pub async fn fault(&self, path: &str, kind: &str) -> u16 {
        let request = self.client.post(format!("{}/{path}/fault", self.base)).bearer_auth(KEY);
        request.json(&json!({ "kind": kind })).send().await.unwrap().status().as_u16()
    }

    /// Puts a fault into an actor as soon as it runs.
    pub async fn break_down(&self, path: &str, kind: &str) {
        let look = || async { (self.fault(path, kind).await == 202).then_some(()) };
        eventually(&format!("{path} takes the fault `{kind}`"), look).await;
    }

    pub async fn restart(&self, path: &str) {
        let request = self.client.post(format!("{}/{path}/restart", self.base)).bearer_auth(KEY);
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// Waits until an actor is as described.
    pub async fn until(&self, path: &str, what: &str, is_so: impl Fn(&Actor) -> bool) -> Board {
        let look = || async { Some(self.board().await).filter(|board| board.get(path).is_some_and(&is_so)) };
        eventually(&format!("{path} {what}"), look).await
    }

    /// Waits until an actor runs in a later generation than it had before.
    pub async fn until_back(&self, path: &str, before: &Board) -> Board {
        let known = before[path].generation;
        self.until(path, "runs again", |actor| actor.generation > known && actor.state == "running").await
    }
}

/// An actor and everybody below it.
pub fn subtree(board: &Board, top: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([top.to_owned()]);
    loop {
        let is_below = |actor: &&Actor| actor.parent.as_ref().is_some_and(|parent| found.contains(parent));
        let more: Vec<_> = board.values().filter(is_below).map(|actor| actor.path.clone()).collect();
        let known = found.len();
        found.extend(more);
        if found.len() == known {
            return found;
        }
    }
}

/// Who is in another generation than before.
pub fn restarted(before: &Board, after: &Board) -> BTreeSet<String> {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "somebody came or went");
    let others = after.values().filter(|actor| before[&actor.path].generation != actor.generation);
    others.map(|actor| actor.path.clone()).collect()
}
