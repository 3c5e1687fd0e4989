//! Steady messages while something happens to the gateway, and what became of them.

use crate::load::{Pool, Sample, number_of, seal_at_rate};
use crate::world::World;
use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

const MEMBERS: usize = 2000;

/// What was posted, and what was shown for it.
pub struct Traffic {
    samples: Vec<Sample>,
    /// By number: when its answer was shown, Unix milliseconds; more than one when it was shown again.
    shown: HashMap<usize, Vec<f64>>,
}

impl Traffic {
    /// Posts `rate` messages a second, numbered from `first`, while `scene` runs; then waits for the last answers.
    pub async fn during<T>(
        world: &World,
        address: &str,
        rate: f64,
        first: usize,
        longest: Duration,
        scene: impl Future<Output = T>,
    ) -> (Self, T) {
        let count = (rate * longest.as_secs_f64()) as usize;
        let pool = Pool::new(address, seal_at_rate(address, first..first + count, MEMBERS, rate), 64);
        let stop = Cell::new(false);
        let playing = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let played = scene.await;
            stop.set(true);
            played
        };
        let before = world.shown();
        let (posted, played) = futures_util::future::join(pool.until(rate, &stop), playing).await;
        let mut samples = pool.finish(posted, Duration::from_secs(10)).await;
        let taken = samples.iter().filter(|sample| sample.status == 200).count();
        world.wait_for(before + taken, Duration::from_secs(12)).await;
        // A second answer would come a little later than the first.
        tokio::time::sleep(Duration::from_secs(1)).await;
        samples.iter_mut().for_each(|sample| sample.number += first);
        let mut shown: HashMap<usize, Vec<f64>> = HashMap::new();
        for sent in world.wecom.sent().iter().filter(|sent| sent.shown) {
            if let Some(number) = number_of(&sent.text) {
                shown.entry(number).or_default().push(sent.at_ms as f64);
            }
        }
        (Self { samples, shown }, played)
    }

    pub fn taken(&self) -> usize {
        self.samples.iter().filter(|sample| sample.status == 200).count()
    }

    pub fn refused(&self) -> usize {
        self.samples.len() - self.taken()
    }

    /// Acknowledged messages that were never answered.
    pub fn lost(&self) -> usize {
        let taken = self.samples.iter().filter(|sample| sample.status == 200);
        taken.filter(|sample| !self.shown.contains_key(&sample.number)).count()
    }

    /// Messages that were answered more than once.
    pub fn doubled(&self) -> usize {
        let again = |sample: &&Sample| self.shown.get(&sample.number).is_some_and(|times| times.len() > 1);
        self.samples.iter().filter(again).count()
    }

    /// Milliseconds from `moment` (Unix milliseconds) until the first answer to a message that was written after it.
    pub fn answering_after(&self, moment: f64) -> f64 {
        let later = self.samples.iter().filter(|sample| sample.due_ms >= moment);
        let answers = later.filter_map(|sample| self.shown.get(&sample.number)?.first());
        // The ledger's milliseconds are cut off, not rounded.
        answers.fold(f64::INFINITY, |soonest, at| soonest.min(at + 1.0)) - moment
    }
}
