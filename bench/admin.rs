//! The admin REST API, as an operator uses it.

use crate::support::chat::client;
use crate::support::gateway::{Gateway, KEY};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub struct Admin {
    base: String,
    client: reqwest::Client,
}

/// What is compared of an actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub kind: String,
    pub parent: String,
    pub state: String,
    pub generation: u64,
}

impl Admin {
    pub fn of(gateway: &Gateway) -> Self {
        Self { base: gateway.url("/api/v1"), client: client() }
    }

    /// Every actor by its path.
    pub async fn actors(&self) -> BTreeMap<String, Seen> {
        let request = self.client.get(format!("{}/actors", self.base)).bearer_auth(KEY);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "the list of actors");
        let list: Value = response.json().await.unwrap();
        let word = |actor: &Value, key: &str| actor[key].as_str().unwrap_or_default().to_owned();
        let seen = |actor: &Value| Seen {
            kind: word(actor, "kind"),
            parent: word(actor, "parent"),
            state: word(actor, "state"),
            generation: actor["generation"].as_u64().unwrap(),
        };
        list["items"].as_array().unwrap().iter().map(|actor| (word(actor, "path"), seen(actor))).collect()
    }

    /// Injects `panic`, `stop`, `hang` or `block`. False when the actor is not there, or not running, at the moment.
    pub async fn fault(&self, path: &str, kind: &str) -> bool {
        self.post(&format!("{path}/fault"), json!({ "kind": kind })).await
    }

    /// Brings a failed actor back.
    pub async fn restart(&self, path: &str) {
        assert!(self.post(&format!("{path}/restart"), json!({})).await, "{path} cannot be restarted");
    }

    async fn post(&self, path: &str, body: Value) -> bool {
        let request = self.client.post(format!("{}/actors/{path}", self.base)).bearer_auth(KEY).json(&body);
        let response = request.send().await.unwrap();
        let status = response.status();
        assert!(status.is_success() || status == 404 || status == 409, "{path}: {status}");
        status.is_success()
    }
}

/// Actors of which another incarnation runs, besides those that `expected` allows.
pub fn others_restarted(
    before: &BTreeMap<String, Seen>,
    after: &BTreeMap<String, Seen>,
    expected: impl Fn(&str) -> bool,
) -> Vec<String> {
    let changed =
        |path: &&String| before.get(*path).map(|seen| seen.generation) != after.get(*path).map(|seen| seen.generation);
    after.keys().filter(changed).filter(|path| !expected(path)).cloned().collect()
}
