//! The embedded store: one `[[knowledge]]` section in our own database, found by SQLite's full-text index.
//!
//! Asked by the retriever and the ingester. It holds nothing itself; a restart costs the calls in flight, and a
//! document that was being taken in is taken in again.

use super::chunk::{self, Chunk};
use super::rank::{self, Frequencies};
use super::terms::{Query, of_text};
use super::{Body, DocumentState, Forget, GetDocuments, Hit, Ingest, Ingested, KnowledgeError, Lookup, Ports};
use crate::config;
use crate::domain::InstanceId;
use crate::store::documents::{self, DocumentRow, NewChunk};
use crate::store::{Store, StoreError};
use crate::supervise::{CallError, ChildSpec, Control, card, contained, obey};
use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture};
use std::sync::Arc;

/// Passages in one job of the writer, so that messages never wait long behind a document.
const BATCH: usize = 64;
/// Passages of one document, at most.
const CHUNKS: usize = 5000;
/// Passages that the index hands over to be ranked.
const POOL: usize = 40;

/// Keeps and searches one section.
pub struct Embedded {
    section: Section,
}

/// What every call needs.
#[derive(Clone)]
struct Section {
    store: Store,
    knowledge: Arc<config::Knowledge>,
}

/// Describes the store of one section as a supervised child that fills `ports`.
pub fn spec(store: &Store, section: &Arc<config::Knowledge>, ports: &Ports) -> ChildSpec {
    let kept = Section { store: store.clone(), knowledge: section.clone() };
    ChildSpec::of(InstanceId::knowledge(&section.id), move || Embedded { section: kept.clone() })
        .fills(&ports.lookup)
        .fills(&ports.ingest)
        .fills(&ports.forget)
        .fills(&ports.documents)
        .build()
}

card! {
    Embedded takes [Lookup, Ingest, Forget, GetDocuments, Control];
    instances: "knowledge/<id>",
    asks: "The store: its full-text index.",
    when_full: "`Lookup`: the search leaves this store out. The others: the ingester waits, then tries again with its next pass.",
    lost: "Calls in flight. A document that was being taken in stays `partial` and is taken in again.",
    stuck: "Documents stay `partial`, searches time out. Look at the queue of the store, `mindbot_queue_depth`.",
}

impl Actor for Embedded {
    type Context = Context<Self>;
}

impl Handler<Control> for Embedded {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<Lookup> for Embedded {
    type Result = ResponseActFuture<Self, Result<Vec<Hit>, KnowledgeError>>;

    fn handle(&mut self, call: Lookup, _: &mut Context<Self>) -> Self::Result {
        Box::pin(calm(self.section.clone().look_up(call)).into_actor(self))
    }
}

impl Handler<Ingest> for Embedded {
    type Result = ResponseActFuture<Self, Result<Ingested, KnowledgeError>>;

    fn handle(&mut self, call: Ingest, _: &mut Context<Self>) -> Self::Result {
        Box::pin(calm(self.section.clone().take_in(call)).into_actor(self))
    }
}

impl Handler<Forget> for Embedded {
    type Result = ResponseActFuture<Self, Result<bool, KnowledgeError>>;

    fn handle(&mut self, Forget { path }: Forget, _: &mut Context<Self>) -> Self::Result {
        let Section { store, knowledge } = self.section.clone();
        Box::pin(async move { Ok(forget(&store, &knowledge.id, &path).await?) }.into_actor(self))
    }
}

impl Handler<GetDocuments> for Embedded {
    type Result = ResponseActFuture<Self, Result<Vec<DocumentRow>, KnowledgeError>>;

    fn handle(&mut self, _: GetDocuments, _: &mut Context<Self>) -> Self::Result {
        let Section { store, knowledge } = self.section.clone();
        let listing = async move { Ok(store.read(move |conn| documents::list(conn, &knowledge.id)).await?) };
        Box::pin(listing.into_actor(self))
    }
}

/// A panic in one call is that call's error.
async fn calm<T>(call: impl Future<Output = Result<T, KnowledgeError>>) -> Result<T, KnowledgeError> {
    contained(call).await.unwrap_or_else(|bug| Err(KnowledgeError::Bug(bug.to_string())))
}

impl Section {
    async fn look_up(self, call: Lookup) -> Result<Vec<Hit>, KnowledgeError> {
        let Lookup { query, k, deadline } = call;
        #[cfg(feature = "chaos-tests")]
        {
            crate::sabotage::trip(&query);
            crate::sabotage::trip_in("knowledge", &query);
        }
        let query = Query::of(&query);
        let terms = query.terms();
        let looking = self.store.read(move |conn| {
            let found = documents::search(conn, &self.knowledge.id, &terms, POOL.max(k))?;
            let (by_term, chunks) = documents::frequencies(conn, &terms)?;
            Ok((found, Frequencies { by_term, chunks }))
        });
        let looked = tokio::time::timeout_at(deadline.instant(), looking).await;
        let (found, frequencies) = looked.map_err(|_| CallError::TimedOut)??;
        Ok(rank::hits(&query, found, &frequencies, k))
    }

    async fn take_in(self, call: Ingest) -> Result<Ingested, KnowledgeError> {
        let Ingest { path, hash, body } = call;
        #[cfg(feature = "chaos-tests")]
        if let Body::Markdown(text) | Body::Text(text) = &body {
            crate::sabotage::trip(text);
        }
        let limit = self.knowledge.chunk_chars;
        let (mut cut, unreadable) = match &body {
            Body::Markdown(text) => (chunk::markdown(&path, text, limit), None),
            Body::Text(text) => (chunk::plain(&path, text, limit), None),
            Body::Unreadable(reason) => (chunk::plain(&path, "", limit), Some(reason.clone())),
        };
        let all = cut.chunks.len();
        cut.chunks.truncate(CHUNKS);
        let (state, reason) = match unreadable {
            Some(reason) => (DocumentState::Failed, Some(reason)),
            None if all > CHUNKS => {
                (DocumentState::Partial, Some(format!("only the first {CHUNKS} of {all} passages were taken in")))
            }
            None => (DocumentState::Done, None),
        };
        let ingested = Ingested { state, chunks: cut.chunks.len(), reason };
        self.replace(path, cut, hash, ingested.clone()).await?;
        Ok(ingested)
    }

    /// Puts new passages in the place of the old ones, a batch at a time.
    async fn replace(&self, path: String, cut: chunk::Cut, hash: String, end: Ingested) -> Result<(), StoreError> {
        let store = &self.store;
        let (id, title, now) = (self.knowledge.id.clone(), cut.title.clone(), store.now());
        let document = store.write(move |conn| documents::begin(conn, &id, &path, &title, now)).await?;
        drop_chunks(store, document).await?;
        let mut position = 0;
        let mut chunks = cut.chunks.into_iter().map(|chunk| new_chunk(&cut.title, chunk));
        loop {
            let batch: Vec<NewChunk> = chunks.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let from = position;
            position += batch.len();
            store.write(move |conn| documents::add_chunks(conn, document, from, &batch)).await?;
        }
        let now = store.now();
        let Ingested { state, reason, .. } = end;
        store.write(move |conn| documents::finish(conn, document, &hash, state, reason.as_deref(), now)).await
    }
}

/// Removes a document of a section, a batch of passages at a time.
pub(super) async fn forget(store: &Store, knowledge: &str, path: &str) -> Result<bool, StoreError> {
    let (knowledge, path) = (knowledge.to_owned(), path.to_owned());
    let Some(document) = store.read(move |conn| documents::id_of(conn, &knowledge, &path)).await? else {
        return Ok(false);
    };
    drop_chunks(store, document).await?;
    store.write(move |conn| documents::remove(conn, document)).await?;
    Ok(true)
}

async fn drop_chunks(store: &Store, document: i64) -> Result<(), StoreError> {
    while store.write(move |conn| documents::drop_chunks(conn, document, BATCH)).await? > 0 {}
    Ok(())
}

fn new_chunk(title: &str, chunk: Chunk) -> NewChunk {
    let Chunk { heading, aliases, text } = chunk;
    let terms = |text: &str| of_text(text).join(" ");
    NewChunk {
        heading_terms: terms(&format!("{title} {heading}")),
        alias_terms: terms(&aliases),
        text_terms: terms(&text),
        heading,
        aliases,
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::testing::{Room, WITHIN, section};

    fn ingest(path: &str, text: &str) -> Ingest {
        Ingest { path: path.into(), hash: "h".into(), body: Body::Markdown(text.into()) }
    }

    async fn take(room: &Room, call: Ingest) -> Result<Ingested, KnowledgeError> {
        room.ports["k"].ingest.ask(call, WITHIN).await.unwrap()
    }

    #[actix_rt::test]
    async fn what_is_taken_in_is_found_and_what_is_replaced_or_forgotten_is_not() {
        let room = Room::open(vec![section("k", &[])]);
        let text = "# Cats\n\n## Food\n\nCats eat mice.\n\n## 睡觉\n\n猫一天睡十六个小时。";
        let ingested = take(&room, ingest("cats.md", text)).await.unwrap();
        assert_eq!(ingested, Ingested { state: DocumentState::Done, chunks: 2, reason: None });
        let found = room.find(&["k"], "what does a cat eat?", 3).await;
        assert_eq!((found[0].heading.as_str(), found[0].document.as_str()), ("Food", "cats.md"));
        assert_eq!(room.find(&["k"], "猫一天睡多久", 3).await[0].heading, "睡觉");
        take(&room, ingest("cats.md", "# Cats\n\nGone fishing.")).await.unwrap();
        assert!(room.find(&["k"], "mice", 3).await.is_empty());
        assert_eq!(room.find(&["k"], "fishing", 3).await.len(), 1);
        let forget = |path: &str| room.ports["k"].forget.ask(Forget { path: path.into() }, WITHIN);
        assert_eq!(forget("cats.md").await.unwrap(), Ok(true));
        assert_eq!(forget("cats.md").await.unwrap(), Ok(false));
        assert!(room.find(&["k"], "fishing", 3).await.is_empty());
        assert!(room.counts().await.is_empty());
    }

    #[actix_rt::test]
    async fn a_long_document_goes_in_by_batches_and_says_when_it_was_cut() {
        let room = Room::open(vec![section("k", &[])]);
        let text: String = (0..CHUNKS + 10).map(|n| format!("## h{n}\n\nword{n}\n\n")).collect();
        let ingested = take(&room, ingest("long.md", &text)).await.unwrap();
        assert_eq!((ingested.state, ingested.chunks), (DocumentState::Partial, CHUNKS));
        assert_eq!(room.find(&["k"], "word4999", 1).await[0].heading, "h4999");
        let rows = room.documents("k").await;
        assert_eq!((rows[0].chunks, rows[0].state), (CHUNKS as i64, DocumentState::Partial));
        let unreadable = Ingest { body: Body::Unreadable("no".into()), ..ingest("long.md", "") };
        assert_eq!(take(&room, unreadable).await.unwrap().state, DocumentState::Failed);
        let counts = room.counts().await;
        assert_eq!((counts[0].documents, counts[0].failed, counts[0].chunks), (1, 1, 0));
    }

    #[actix_rt::test]
    async fn any_text_is_a_safe_question() {
        let room = Room::open(vec![section("k", &[])]);
        take(&room, ingest("a.md", "alpha \"beta\" NEAR gamma")).await.unwrap();
        let long = "alpha ".repeat(5000) + &('一'..='龥').collect::<String>();
        for query in [
            "\"",
            "alpha\" OR \"",
            "NEAR(alpha beta)",
            "alpha*",
            "-alpha",
            "heading:alpha",
            "\0",
            "",
            "的",
            long.trim_start_matches("alpha "),
            &long,
        ] {
            room.find(&["k"], query, 3).await;
        }
        assert_eq!(room.find(&["k"], "beta* AND NOT gamma", 3).await.len(), 1);
    }

    #[cfg(feature = "chaos-tests")]
    #[actix_rt::test]
    async fn a_marked_text_costs_its_own_call_only() {
        let room = Room::open(vec![section("k", &[])]);
        take(&room, ingest("a.md", "alpha")).await.unwrap();
        let marked = take(&room, ingest("b.md", crate::sabotage::MARK)).await;
        assert!(matches!(marked, Err(KnowledgeError::Bug(_))), "{marked:?}");
        let lookup = |query: &str| {
            let deadline = crate::domain::Deadline::after(WITHIN);
            room.ports["k"].lookup.ask(Lookup { query: query.into(), k: 1, deadline }, WITHIN)
        };
        let (marked, innocent) = tokio::join!(lookup(crate::sabotage::MARK), lookup("alpha"));
        assert!(matches!(marked, Ok(Err(KnowledgeError::Bug(_)))), "{marked:?}");
        assert_eq!(innocent.unwrap().unwrap().len(), 1);
    }
}
