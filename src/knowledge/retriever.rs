//! The retriever: asks the knowledge stores that a question names, merges what they found, and says what fits.
//!
//! Asked by the pipeline. It holds nothing; a restart costs the searches in flight, whose turns go on without passages.

use super::{Hit, KnowledgeError, Lookup, Passage, Search, Shelf, rank};
use crate::domain::InstanceId;
use crate::supervise::{ChildSpec, Control, Policy, Port, card, contained, obey};
use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture};
use futures_util::future::join_all;

/// Searches several stores as one.
pub struct Retriever {
    shelf: Shelf,
}

/// Describes the retriever as a supervised child that fills `search`.
pub fn spec(shelf: Shelf, search: &Port<Search>) -> ChildSpec {
    ChildSpec::of(InstanceId::core("retriever"), move || Retriever { shelf: shelf.clone() })
        .fills(search)
        .restarts(Policy::essential())
        .build()
}

card! {
    Retriever takes [Search, Control];
    instances: "core/retriever",
    asks: "`Lookup`, through the port of each store that the question names.",
    when_full: "The turn goes on without passages and says that it is degraded.",
    lost: "Searches in flight; their turns go on without passages.",
    stuck: "Answers cite nothing, traces say `degraded`. Look at `mindbot_port_failures_total` of `Search` and `Lookup`.",
}

impl Actor for Retriever {
    type Context = Context<Self>;
}

impl Handler<Control> for Retriever {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<Search> for Retriever {
    type Result = ResponseActFuture<Self, Result<Vec<Passage>, KnowledgeError>>;

    fn handle(&mut self, call: Search, _: &mut Context<Self>) -> Self::Result {
        let searching = contained(search(self.shelf.clone(), call));
        let searched = async move { searching.await.unwrap_or_else(|bug| Err(KnowledgeError::Bug(bug.to_string()))) };
        Box::pin(searched.into_actor(self))
    }
}

/// A store that does not answer is left out; the search fails only when none does.
async fn search(shelf: Shelf, call: Search) -> Result<Vec<Passage>, KnowledgeError> {
    let Search { knowledge, query, k, deadline } = call;
    let stores = shelf.load_full();
    let asked = knowledge.iter().map(|id| {
        let port = stores.get(id).map(|ports| ports.lookup.clone());
        let lookup = Lookup { query: query.clone(), k, deadline };
        async move {
            let port = port.ok_or_else(|| KnowledgeError::Unknown(id.clone()))?;
            port.ask(lookup, deadline.left()).await?
        }
    });
    let mut hits: Vec<Hit> = Vec::new();
    let mut failure = None;
    let mut answered = false;
    for (id, outcome) in knowledge.iter().zip(join_all(asked).await) {
        match outcome {
            Ok(found) => {
                answered = true;
                hits.extend(found);
            }
            Err(error) => {
                tracing::warn!(knowledge.id = %id, %error, "a knowledge store did not answer");
                failure = Some(error);
            }
        }
    }
    match failure {
        Some(error) if !answered => Err(error),
        _ => Ok(rank::merge(hits, k)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Deadline;
    use crate::knowledge::testing::{Room, WITHIN, section};
    use crate::knowledge::{Body, Ingest};

    #[actix_rt::test]
    async fn several_stores_are_searched_as_one_and_an_unknown_one_is_left_out() {
        let room = Room::open(vec![section("a", &[]), section("b", &[])]);
        for (id, text) in [("a", "Apples are red."), ("b", "Apples and pears are fruit, red or green.")] {
            let call = Ingest { path: format!("{id}.md"), hash: "h".into(), body: Body::Text(text.into()) };
            room.ports[id].ingest.ask(call, WITHIN).await.unwrap().unwrap();
        }
        let found = room.find(&["a", "b", "gone"], "red apples", 5).await;
        assert_eq!(found.len(), 2);
        assert!(found[0].score >= found[1].score && found.iter().all(|passage| passage.fits));
        assert_eq!(room.find(&["a"], "red apples", 5).await.len(), 1);
        assert_eq!(room.find(&["a", "b"], "red apples", 1).await.len(), 1);
        let deadline = Deadline::after(WITHIN);
        let search = Search { knowledge: vec!["gone".into()], query: "x".into(), k: 1, deadline };
        assert_eq!(room.search.ask(search, WITHIN).await.unwrap(), Err(KnowledgeError::Unknown("gone".into())));
    }
}
