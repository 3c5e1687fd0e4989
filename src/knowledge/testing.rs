//! A whole knowledge room over a database in a temporary folder, for the tests of this room.

use super::ingester::Assignment;
use super::{GetDocuments, Ports, Search, Shelf, embedded, ingester, retriever};
use crate::config::Knowledge;
use crate::domain::Deadline;
use crate::store::documents::DocumentRow;
use crate::store::{Store, documents};
use crate::supervise::{Port, Thread, Transient};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub const WITHIN: Duration = Duration::from_secs(20);

/// The actors, alive as long as this is.
pub struct Room {
    pub store: Store,
    pub ports: BTreeMap<String, Ports>,
    pub search: Port<Search>,
    pub assignment: Assignment,
    pub sections: Vec<Arc<Knowledge>>,
    thread: Thread,
    _actors: Vec<Transient>,
    _folder: tempfile::TempDir,
}

impl Room {
    /// Starts everything; nothing is taken in before [`Assignment::set`].
    pub fn open(sections: Vec<Knowledge>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("test.db"), Arc::new(|reason| panic!("{reason}"))).unwrap();
        let thread = Thread::start("knowledge-test");
        let sections: Vec<_> = sections.into_iter().map(Arc::new).collect();
        let ports: BTreeMap<_, _> = sections.iter().map(|section| (section.id.clone(), Ports::of(section))).collect();
        let shelf = Shelf::new(arc_swap::ArcSwap::from_pointee(ports.clone()));
        let (search, assignment) = (Port::new("Search", 64), Assignment::default());
        let mut specs: Vec<_> =
            sections.iter().map(|section| embedded::spec(&store, section, &ports[&section.id])).collect();
        specs.push(retriever::spec(shelf.clone(), &search));
        specs.push(ingester::spec(&store, shelf.clone(), &assignment));
        let actors = specs.iter().map(|spec| Transient::start(spec, &thread)).collect();
        Self { store, ports, search, assignment, sections, thread, _actors: actors, _folder: folder }
    }

    /// The documents of a section as the store has them.
    pub async fn documents(&self, knowledge: &str) -> Vec<DocumentRow> {
        self.ports[knowledge].documents.ask(GetDocuments, WITHIN).await.unwrap().unwrap()
    }

    /// Waits until the documents of a section are as wanted.
    pub async fn settled(&self, knowledge: &str, wanted: impl Fn(&[DocumentRow]) -> bool) -> Vec<DocumentRow> {
        let waiting = async {
            loop {
                let rows = self.documents(knowledge).await;
                if wanted(&rows) {
                    return rows;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WITHIN, waiting).await.expect("the documents never became as wanted")
    }

    pub async fn find(&self, knowledge: &[&str], query: &str, k: usize) -> Vec<super::Passage> {
        let knowledge = knowledge.iter().map(|id| (*id).to_owned()).collect();
        let search = Search { knowledge, query: query.into(), k, deadline: Deadline::after(WITHIN) };
        self.search.ask(search, WITHIN).await.unwrap().unwrap()
    }

    pub async fn counts(&self) -> Vec<documents::SectionCounts> {
        self.store.read(documents::counts).await.unwrap()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.thread.stop();
    }
}

pub fn section(id: &str, paths: &[&str]) -> Knowledge {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Knowledge { id: id.into(), paths, ..Knowledge::default() }
}
