//! Who is in office: of all incarnations of the dispatcher, or of the pump, only the newest may act.
//!
//! A thread that was stuck wakes up in the middle of an old incarnation, which goes on until its next pause. What that
//! one claimed nobody would finish, and what it counted would be missing from its successor's count.

use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An office that incarnations hold one after the other. Cheap to clone; it outlives them.
#[derive(Clone, Default)]
pub struct Office(Arc<ArcSwap<AtomicUsize>>);

impl Office {
    /// Begins the term of a new incarnation, with nothing running. Every earlier term is over.
    pub fn take(&self) -> Term {
        let running = Arc::new(AtomicUsize::new(0));
        self.0.store(running.clone());
        Term { office: self.clone(), running }
    }

    /// What the incarnation in office has running.
    pub fn running(&self) -> usize {
        self.0.load().load(Ordering::Acquire)
    }
}

/// One incarnation's time in office.
#[derive(Clone)]
pub struct Term {
    office: Office,
    running: Arc<AtomicUsize>,
}

impl Term {
    /// Whether a successor is in office. Asked inside a write, the answer orders it before or after the successor's first.
    pub fn is_over(&self) -> bool {
        !Arc::ptr_eq(&self.office.0.load(), &self.running)
    }

    /// What this incarnation has running.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Counts a piece of work as running until the answer is dropped.
    pub fn begin(&self) -> Work {
        self.running.fetch_add(1, Ordering::AcqRel);
        Work(self.running.clone())
    }
}

/// A piece of work that runs.
pub struct Work(Arc<AtomicUsize>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_incarnation_neither_acts_nor_counts_for_its_successor() {
        let office = Office::default();
        let old = office.take();
        let work = old.begin();
        assert!(!old.is_over() && office.running() == 1);
        let new = office.take();
        assert!(old.is_over() && !new.is_over());
        let _running = new.begin();
        drop(work);
        assert_eq!((old.running(), new.running(), office.running()), (0, 1, 1));
    }
}
