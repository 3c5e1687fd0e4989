//! Which of the passages that share terms with a question is best, and whether the best is an answer. Pure.

use super::terms::{PassageTerms, Query, Unit};
use super::{Hit, Passage};
use crate::store::documents::FoundChunk;
use std::collections::{HashMap, HashSet};

/// Share of the question that a passage must cover to count as its answer.
const FITS: f64 = 0.48;
/// What a passage in another language than the question keeps of its score.
const OTHER_LANGUAGE: f64 = 0.5;
/// What a passage gains when the question has all that its heading is about.
const HEADING: f64 = 0.5;
/// A character counts for half a word, a lone one for less.
const CHARACTER: f64 = 0.5;
const LONE_CHARACTER: f64 = 0.25;
/// An ordinary word that no passage knows may be a mere turn of phrase; a name never is.
const UNKNOWN_WORD: f64 = 0.8;
const UNKNOWN_NAME: f64 = 2.0;

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
        let share = match unit.character {
            None => 1.0,
            Some(_) if unit.is_alone => LONE_CHARACTER,
            Some(_) => CHARACTER,
        };
        match own.or_else(by_synonym) {
            Some(count) => self.idf(count) * share,
            None if unit.is_function => 0.0,
            None if unit.is_name => self.idf(0) * UNKNOWN_NAME,
            None if unit.character.is_none() => self.idf(0) * UNKNOWN_WORD,
            None => self.idf(0) * share,
        }
    }
}

/// Scores what the index found.
pub fn hits(query: &Query, found: Vec<FoundChunk>, frequencies: &Frequencies) -> Vec<Hit> {
    let weighed: Vec<(&Unit, f64)> = query.units.iter().map(|unit| (unit, frequencies.weight(unit))).collect();
    let all: f64 = weighed.iter().map(|(_, weight)| weight).sum();
    let asked: HashSet<String> = query.terms().into_iter().collect();
    let score = |chunk: FoundChunk| {
        let passage = PassageTerms::of(&[&chunk.title, &chunk.heading, &chunk.text], &chunk.aliases, &asked);
        let covered: f64 = weighed.iter().map(|(unit, weight)| weight * unit.credit(&passage)).sum();
        let coverage = if all > 0.0 { covered / all } else { 0.0 };
        let language = if passage.is_ideographic == query.is_ideographic { 1.0 } else { OTHER_LANGUAGE };
        let heading = 1.0 + HEADING * asked_for(&chunk.heading, query);
        let score = chunk.score * coverage * coverage * language * heading;
        let FoundChunk { path, title, heading, text, .. } = chunk;
        Hit { passage: Passage { document: path, title, heading, text, score, fits: false }, coverage }
    };
    found.into_iter().map(score).collect()
}

/// How much of what a heading is about the question has, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a heading has few words")]
fn asked_for(heading: &str, query: &Query) -> f64 {
    let about = Query::of(heading).units;
    let known = |unit: &&Unit| query.units.iter().any(|asked| asked.own.iter().any(|term| unit.own.contains(term)));
    if about.is_empty() { 0.0 } else { about.iter().filter(known).count() as f64 / about.len() as f64 }
}

/// The best `k` of what all stores found, each marked whether it answers the question.
pub fn merge(mut hits: Vec<Hit>, k: usize) -> Vec<Passage> {
    hits.sort_by(|a, b| b.passage.score.total_cmp(&a.passage.score));
    hits.truncate(k);
    hits.into_iter().map(|hit| Passage { fits: hit.coverage >= FITS, ..hit.passage }).collect()
}
