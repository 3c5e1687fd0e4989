//! The ingester: keeps every section equal to the files it names, once the server is ready.
//!
//! Asks the knowledge stores; nobody asks it. What it has to do stands in [`Assignment`], which outlives it: a restart
//! looks through the files again and takes in only what changed.

use super::files::{self, Found, Scan, Stamp};
use super::{Body, DocumentState, Forget, GetDocuments, Ingest, KnowledgeError, Ports, Shelf, embedded};
use crate::config;
use crate::domain::InstanceId;
use crate::store::documents::{self, DocumentRow};
use crate::store::{Store, StoreError};
use crate::supervise::{ChildSpec, Control, Policy, card, contained, obey};
use actix::{Actor, AsyncContext, Context, Handler, WrapFuture};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the files are looked through for changes. Polling also works on network drives and mounted volumes.
const EVERY: Duration = Duration::from_secs(30);
/// The wait after a pass that failed.
const AGAIN: Duration = Duration::from_secs(2);
/// Time for one document.
const DOCUMENT_WITHIN: Duration = Duration::from_secs(120);

type Sections = Vec<Arc<config::Knowledge>>;

/// The sections to be kept up to date. Empty until the server is ready; cheap to clone.
#[derive(Clone)]
pub struct Assignment(Arc<watch::Sender<Option<Sections>>>);

impl Default for Assignment {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Assignment {
    /// Says that the server is ready, or that the sections changed: their files are looked through now, and documents
    /// of sections that are not named any more are removed.
    pub fn set(&self, sections: Sections) {
        self.0.send_replace(Some(sections));
    }
}

/// Describes the ingester as a supervised child.
pub fn spec(store: &Store, shelf: Shelf, assignment: &Assignment) -> ChildSpec {
    let wiring = Wiring { store: store.clone(), shelf, assignment: assignment.clone() };
    ChildSpec::of(InstanceId::core("ingester"), move || Ingester { wiring: wiring.clone() })
        .restarts(Policy::configured())
        .build()
}

/// What outlives an incarnation.
#[derive(Clone)]
struct Wiring {
    store: Store,
    shelf: Shelf,
    assignment: Assignment,
}

/// Takes in what changed.
pub struct Ingester {
    wiring: Wiring,
}

card! {
    Ingester takes [Control];
    instances: "core/ingester",
    asks: "`GetDocuments`, `Ingest`, `Forget`, through the ports of each store; reads the files that the sections name.",
    when_full: "Nobody calls it.",
    lost: "The pass through the files that was running. The next one begins at once and takes in only what changed.",
    stuck: "New files are not found a minute later. Look at the log for documents that could not be taken in.",
}

impl Actor for Ingester {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(keep_up(self.wiring.clone()).into_actor(self));
    }
}

impl Handler<Control> for Ingester {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

/// Stamps of the documents that are in the store as they stand in the files: by section, passage size and name.
type Stamps = HashMap<(String, usize, String), Stamp>;

/// Looks through the files when told to, and every now and then, for ever.
async fn keep_up(wiring: Wiring) {
    let mut orders = wiring.assignment.0.subscribe();
    let mut stamps = Stamps::new();
    loop {
        let sections = orders.borrow_and_update().clone();
        let mut wait = EVERY;
        if let Some(sections) = sections {
            let passed = contained(pass(&wiring, &sections, &mut stamps)).await;
            if let Err(problem) = passed.map_err(|bug| bug.to_string()).and_then(|done| done) {
                tracing::warn!(problem, "documents could not all be taken in; trying again");
                wait = AGAIN;
            }
        }
        tokio::select! {
            // The sender lives in `wiring`, so this never fails.
            _ = orders.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Brings every section up to date. A section that fails does not keep the others waiting.
async fn pass(wiring: &Wiring, sections: &Sections, stamps: &mut Stamps) -> Result<(), String> {
    let mut problems = Vec::new();
    for section in sections {
        let Some(ports) = wiring.shelf.load().get(&section.id).cloned() else {
            problems.push(format!("knowledge `{}` is not running", section.id));
            continue;
        };
        let refreshed = match refresh(section, &ports, stamps).await {
            Ok(tally) => merge(&wiring.store, &tally).await.map_err(KnowledgeError::from),
            Err(error) => Err(error),
        };
        if let Err(error) = refreshed {
            problems.push(format!("knowledge `{}`: {error}", section.id));
        }
    }
    if let Err(error) = sweep(&wiring.store, sections).await {
        problems.push(format!("removing old sections: {error}"));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

/// What one section's pass changed, for the log.
#[derive(Debug, Default)]
struct Tally {
    documents: usize,
    taken_in: usize,
    failed: usize,
    removed: usize,
}

impl Tally {
    fn changed(&self) -> usize {
        self.taken_in + self.failed + self.removed
    }
}

/// Merges the index after a pass that changed it: all of it when most documents changed, which costs little beside them.
async fn merge(store: &Store, tally: &Tally) -> Result<(), StoreError> {
    let mut all = 2 * tally.changed() >= tally.documents;
    let mut goes_on = tally.changed() > 0;
    while goes_on {
        let from_the_start = std::mem::take(&mut all);
        goes_on = store.write(move |conn| documents::merge(conn, from_the_start)).await?;
    }
    Ok(())
}

async fn refresh(section: &config::Knowledge, ports: &Ports, stamps: &mut Stamps) -> Result<Tally, KnowledgeError> {
    let known = ports.documents.ask(GetDocuments, DOCUMENT_WITHIN).await??;
    let known: HashMap<&str, &DocumentRow> = known.iter().map(|row| (row.path.as_str(), row)).collect();
    let paths = section.paths.clone();
    let scan = on_pool(move || files::scan(&paths)).await?;
    for problem in &scan.problems {
        tracing::warn!(knowledge.id = %section.id, problem, "a path could not be looked through");
    }
    let mut tally = Tally { documents: scan.found.len(), ..Tally::default() };
    for found in &scan.found {
        let key = (section.id.clone(), section.chunk_chars, found.name.clone());
        let row = known.get(found.name.as_str());
        if row.is_some_and(|row| !row.hash.is_empty()) && stamps.get(&key) == Some(&found.stamp) {
            continue;
        }
        if take_in(section, ports, found, row.map(|row| row.hash.as_str()), &mut tally).await? {
            stamps.insert(key, found.stamp.clone());
        }
    }
    tally.removed = forget_vanished(ports, &scan, known.keys().copied()).await?;
    if tally.changed() > 0 {
        tracing::info!(
            knowledge.id = %section.id,
            documents = tally.documents,
            taken_in = tally.taken_in,
            failed = tally.failed,
            removed = tally.removed,
            "documents are up to date"
        );
    }
    Ok(tally)
}

/// Takes one document in unless its content is known. Answers whether its stamp may be trusted from now on.
async fn take_in(
    section: &config::Knowledge,
    ports: &Ports,
    found: &Found,
    known_hash: Option<&str>,
    tally: &mut Tally,
) -> Result<bool, KnowledgeError> {
    let (file, chunk_chars) = (found.clone(), section.chunk_chars);
    let (hash, body) = on_pool(move || files::read(&file, chunk_chars)).await?;
    let is_readable = !matches!(body, Body::Unreadable(_));
    if known_hash == Some(hash.as_str()) {
        return Ok(is_readable);
    }
    let call = Ingest { path: found.name.clone(), hash: hash.clone(), body };
    match ports.ingest.ask(call, DOCUMENT_WITHIN).await? {
        Ok(ingested) if ingested.state == DocumentState::Failed => {
            let reason = ingested.reason.unwrap_or_default();
            tracing::warn!(knowledge.id = %section.id, document = %found.name, reason, "a document was not taken in");
            tally.failed += 1;
        }
        Ok(_) => tally.taken_in += 1,
        // A document that trips our own code costs itself, not those behind it, and is not tried again until it changes.
        Err(KnowledgeError::Bug(place)) => {
            tracing::error!(knowledge.id = %section.id, document = %found.name, place, "a document tripped our code");
            let body = Body::Unreadable(format!("a fault of ours ({place}); please report it"));
            ports.ingest.ask(Ingest { path: found.name.clone(), hash, body }, DOCUMENT_WITHIN).await??;
            tally.failed += 1;
        }
        Err(error) => return Err(error),
    }
    Ok(is_readable)
}

/// Removes documents whose files are gone, unless a path could not be looked through: a drive that is not mounted
/// is no reason to forget what it holds.
async fn forget_vanished<'a>(
    ports: &Ports,
    scan: &Scan,
    known: impl Iterator<Item = &'a str>,
) -> Result<usize, KnowledgeError> {
    if !scan.problems.is_empty() {
        return Ok(0);
    }
    let present: HashSet<&str> = scan.found.iter().map(|found| found.name.as_str()).collect();
    let mut removed = 0;
    for path in known.filter(|path| !present.contains(*path)) {
        let forgotten = ports.forget.ask(Forget { path: path.to_owned() }, DOCUMENT_WITHIN).await??;
        removed += usize::from(forgotten);
    }
    Ok(removed)
}

/// Removes the documents of sections that the configuration does not name any more.
async fn sweep(store: &Store, sections: &Sections) -> Result<(), StoreError> {
    let kept: HashSet<String> = sections.iter().map(|section| section.id.clone()).collect();
    for knowledge in store.read(documents::sections).await? {
        if kept.contains(&knowledge) {
            continue;
        }
        let id = knowledge.clone();
        let rows = store.read(move |conn| documents::list(conn, &id)).await?;
        tracing::info!(knowledge.id = %knowledge, documents = rows.len(), "removing a section that is gone");
        for row in rows {
            embedded::forget(store, &knowledge, &row.path).await?;
        }
    }
    Ok(())
}

/// Runs blocking work on the pool, one piece at a time.
async fn on_pool<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, KnowledgeError> {
    actix_rt::task::spawn_blocking(work).await.map_err(|error| KnowledgeError::Bug(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::testing::{Room, section};
    use std::fs;

    fn names(rows: &[DocumentRow]) -> Vec<&str> {
        rows.iter().map(|row| row.path.as_str()).collect()
    }

    #[actix_rt::test]
    async fn files_are_taken_in_when_ready_again_when_they_change_and_removed_when_gone() {
        let temp = tempfile::tempdir().unwrap();
        let docs = temp.path().join("docs");
        fs::create_dir(&docs).unwrap();
        fs::write(docs.join("a.md"), "# A\n\nalpha").unwrap();
        fs::write(docs.join("b.txt"), "beta").unwrap();
        fs::write(docs.join("c.md"), b"\xff").unwrap();
        let room = Room::open(vec![section("k", &[&docs.display().to_string()])]);
        assert!(room.documents("k").await.is_empty(), "nothing before the server is ready");
        room.assignment.set(room.sections.clone());
        let rows = room.settled("k", |rows| rows.len() == 3 && rows.iter().all(|row| !row.hash.is_empty())).await;
        assert_eq!(names(&rows), ["docs/a.md", "docs/b.txt", "docs/c.md"]);
        assert_eq!((rows[0].state, rows[2].state), (DocumentState::Done, DocumentState::Failed));
        assert!(rows[2].reason.as_deref().unwrap().contains("UTF-8"));

        fs::write(docs.join("a.md"), "# A\n\nalpha and omega").unwrap();
        fs::remove_file(docs.join("b.txt")).unwrap();
        room.assignment.set(room.sections.clone());
        let before = rows[0].hash.clone();
        room.settled("k", |rows| rows.len() == 2 && rows[0].hash != before && !rows[0].hash.is_empty()).await;
        assert_eq!(room.find(&["k"], "omega", 1).await.len(), 1);
        assert!(room.find(&["k"], "beta", 1).await.is_empty());
    }

    #[actix_rt::test]
    async fn a_path_that_is_gone_keeps_its_documents_and_a_section_that_is_gone_does_not() {
        let temp = tempfile::tempdir().unwrap();
        let docs = temp.path().join("docs");
        fs::create_dir(&docs).unwrap();
        fs::write(docs.join("a.md"), "alpha").unwrap();
        let path = docs.display().to_string();
        let room = Room::open(vec![section("k", &[&path]), section("other", &["builtin:guide"])]);
        room.assignment.set(room.sections.clone());
        room.settled("k", |rows| rows.len() == 1).await;
        room.settled("other", |rows| rows.len() > 1).await;
        fs::rename(&docs, temp.path().join("unmounted")).unwrap();
        let first_only = vec![room.sections[0].clone()];
        room.assignment.set(first_only);
        room.settled("other", <[DocumentRow]>::is_empty).await;
        assert_eq!(room.documents("k").await.len(), 1);
    }

    #[cfg(feature = "chaos-tests")]
    #[actix_rt::test]
    async fn a_document_that_trips_our_code_is_kept_as_failed_and_the_next_one_is_taken_in() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("a.md"), crate::sabotage::MARK).unwrap();
        fs::write(temp.path().join("b.md"), "beta").unwrap();
        let room = Room::open(vec![section("k", &[&temp.path().display().to_string()])]);
        room.assignment.set(room.sections.clone());
        let rows = room.settled("k", |rows| rows.len() == 2 && rows.iter().all(|row| !row.hash.is_empty())).await;
        assert_eq!((rows[0].state, rows[1].state), (DocumentState::Failed, DocumentState::Done));
    }
}
