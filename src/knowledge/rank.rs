//! Which of the passages that share terms with a question is best, and whether the best is an answer. Pure.

use super::terms::{PassageTerms, Query, Unit};
use super::{Hit, Passage};
use crate::store::documents::FoundChunk;
use std::collections::HashMap;

/// Share of the question that a passage must cover to count as its answer.
const FITS: f64 = 0.5;
/// What a passage in another language than the question keeps of its score.
const OTHER_LANGUAGE: f64 = 0.5;
/// How much the order owes to plain BM25; the rest is coverage.
const BM25_ALONE: f64 = 0.25;

/// How often terms occur, for telling the words that matter from the others.
pub struct Frequencies {
    pub by_term: HashMap<String, i64>,
    pub chunks: i64,
}

impl Frequencies {
    /// The weight of a term that is in this many passages: BM25's, never negative.
    #[expect(clippy::cast_precision_loss, reason = "counts of passages are far below 2^52")]
    fn idf(&self, passages: i64) -> f64 {
        let (all, with) = (self.chunks as f64, passages as f64);
        (1.0 + (all - with + 0.5).max(0.5) / (with + 0.5)).ln()
    }

    fn known(&self, term: &str) -> Option<i64> {
        self.by_term.get(term).copied().filter(|count| *count > 0)
    }

    /// What a unit of the question weighs.
    ///
    /// Its commonest known form decides: an accidental pair across two words is unknown everywhere and must not make
    /// its characters seem precious. A word that no passage knows at all weighs most: the question is about that.
    fn weight(&self, unit: &Unit) -> f64 {
        let own = unit.own.iter().filter_map(|term| self.known(term)).max();
        let by_synonym = || {
            let rarest = |terms: &Vec<String>| terms.iter().map(|term| self.known(term)).min().flatten();
            unit.synonyms.iter().filter_map(rarest).max()
        };
        match own.or_else(by_synonym) {
            Some(count) => self.idf(count) * unit.share(),
            None if unit.is_function => 0.0,
            None => self.idf(0) * unit.share(),
        }
    }
}

/// Scores what the index found.
pub fn hits(query: &Query, found: Vec<FoundChunk>, frequencies: &Frequencies) -> Vec<Hit> {
    let weighed: Vec<(&Unit, f64)> = query.units.iter().map(|unit| (unit, frequencies.weight(unit))).collect();
    let all: f64 = weighed.iter().map(|(_, weight)| weight).sum();
    let score = |chunk: FoundChunk| {
        let passage = PassageTerms::of(&[&chunk.title, &chunk.heading, &chunk.aliases, &chunk.text]);
        let covered: f64 = weighed.iter().map(|(unit, weight)| weight * unit.credit(&passage)).sum();
        let coverage = if all > 0.0 { covered / all } else { 0.0 };
        let language = if passage.is_ideographic == query.is_ideographic { 1.0 } else { OTHER_LANGUAGE };
        let score = chunk.score * (BM25_ALONE + coverage) * language;
        let FoundChunk { path, title, heading, text, .. } = chunk;
        Hit { passage: Passage { document: path, title, heading, text, score, fits: false }, coverage }
    };
    found.into_iter().map(score).collect()
}

/// The best `k` of what all stores found, each marked whether it answers the question.
pub fn merge(mut hits: Vec<Hit>, k: usize) -> Vec<Passage> {
    hits.sort_by(|a, b| b.passage.score.total_cmp(&a.passage.score));
    hits.truncate(k);
    hits.into_iter().map(|hit| Passage { fits: hit.coverage >= FITS, ..hit.passage }).collect()
}
