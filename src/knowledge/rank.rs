//! Which of the passages that share terms with a question is best, and whether the best is an answer. Pure.

use super::terms::{PassageTerms, Query, Unit, may_share};
use super::{Hit, Passage};
use crate::store::documents::FoundChunk;
use std::collections::{HashMap, HashSet};

/// Share of the question that a passage must cover to count as its answer.
///
/// Chosen on the golden set (40 answerable questions, of which the passage is found and fits; 20 unanswerable ones, of
/// which any passage fits) and watched on 108 further questions that are not checked in:
///
/// | threshold | golden found | golden false | further answered, of 72 | further false, of 36 |
/// |---|---|---|---|---|
/// | 0.36 | 39 | 3 | 71 | 8 |
/// | 0.40 | 39 | 1 | 71 | 7 |
/// | 0.44 | 37 | 0 | 70 | 6 |
/// | 0.48 | 37 | 0 | 69 | 6 |
/// | 0.56 | 36 | 0 | 64 | 5 |
///
/// The false ones left share their words with the guide by accident (“How do I print a document?”). Counting only words
/// that stand in one sentence changed nothing; weighing heading and index words apart lost more right answers than
/// wrong ones.
const FITS: f64 = 0.46;
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
            let rarest = |terms: &&[String]| terms.iter().map(|term| self.known(term)).min().flatten();
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

/// Scores what the index found and keeps the best `k`.
pub fn hits(query: &Query, found: Vec<FoundChunk>, frequencies: &Frequencies, k: usize) -> Vec<Hit> {
    let weighed: Vec<(&Unit, f64)> = query.units.iter().map(|unit| (unit, frequencies.weight(unit))).collect();
    let all: f64 = weighed.iter().map(|(_, weight)| weight).sum();
    let asked: HashSet<String> = query.terms().into_iter().collect();
    let score = |chunk: FoundChunk| {
        let passage = PassageTerms::of(&[&chunk.title, &chunk.heading, &chunk.text], &chunk.aliases, &asked);
        let covered: f64 = weighed.iter().map(|(unit, weight)| weight * unit.credit(&passage)).sum();
        let coverage = if all > 0.0 { covered / all } else { 0.0 };
        let language = if passage.is_ideographic == query.is_ideographic { 1.0 } else { OTHER_LANGUAGE };
        let heading = 1.0 + HEADING * asked_for(&chunk.heading, query, &asked);
        let score = chunk.score * coverage * coverage * language * heading;
        let FoundChunk { path, title, heading, text, .. } = chunk;
        Hit { passage: Passage { document: path, title, heading, text, score, fits: false }, coverage }
    };
    best(found.into_iter().map(score).collect(), k)
}

fn best(mut hits: Vec<Hit>, k: usize) -> Vec<Hit> {
    hits.sort_by(|a, b| b.passage.score.total_cmp(&a.passage.score));
    hits.truncate(k);
    hits
}

/// How much of what a heading is about the question has, 0 to 1.
fn asked_for(heading: &str, query: &Query, terms: &HashSet<String>) -> f64 {
    if !may_share(heading, terms) {
        return 0.0;
    }
    let about = Query::of(heading).units;
    let known = |unit: &&Unit| query.units.iter().any(|asked| asked.own.iter().any(|term| unit.own.contains(term)));
    if about.is_empty() { 0.0 } else { about.iter().filter(known).count() as f64 / about.len() as f64 }
}

/// The best `k` of what all stores found, each marked whether it answers the question.
pub fn merge(hits: Vec<Hit>, k: usize) -> Vec<Passage> {
    best(hits, k).into_iter().map(|hit| Passage { fits: hit.coverage >= FITS, ..hit.passage }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(heading: &str, text: &str) -> FoundChunk {
        let (path, title, aliases) = ("a.md".into(), "A".into(), "delete old data, 打断".into());
        FoundChunk { path, title, heading: heading.into(), aliases, text: text.into(), score: 1.0 }
    }

    fn coverage(question: &str, text: &str, known: &[&str]) -> f64 {
        let by_term = known.iter().map(|term| ((*term).to_owned(), 2)).collect();
        let frequencies = Frequencies { by_term, chunks: 50 };
        hits(&Query::of(question), vec![chunk("", text)], &frequencies, 1)[0].coverage
    }

    #[test]
    fn coverage_is_the_share_of_what_the_question_is_about() {
        let known = ["port", "backup", "old", "data", "打断"];
        let table = [
            ("all of it", "which port?", "The port is 80.", 1.0..=1.0),
            ("nothing of it", "which port?", "Backups.", 0.0..=0.0),
            ("nothing asked", "what is it?", "Backups.", 0.0..=0.0),
            ("another word for it", "any copy?", "A backup.", 0.7..=0.9),
            ("an unknown word weighs", "backup poetry", "A backup.", 0.4..=0.6),
            ("an unknown name weighs more", "backup to Oracle", "A backup.", 0.1..=0.3),
            ("part of an index entry", "old wine", "Text.", 0.1..=0.4),
            ("a whole index entry", "怎么打断", "文字。", 1.0..=1.0),
        ];
        for (case, question, text, expected) in table {
            let covered = coverage(question, text, &known);
            assert!(expected.contains(&covered), "{case}: {covered}");
        }
    }

    #[test]
    fn the_language_of_the_question_and_a_heading_that_it_names_come_first() {
        let frequencies = Frequencies { by_term: HashMap::from([("wecom".into(), 3)]), chunks: 50 };
        let found =
            vec![chunk("别的", "接入 WeCom 应用"), chunk("Other", "About WeCom."), chunk("WeCom", "About WeCom.")];
        let hits = hits(&Query::of("WeCom?"), found, &frequencies, 3);
        let order: Vec<_> = hits.iter().map(|hit| hit.passage.heading.as_str()).collect();
        assert_eq!(order, ["WeCom", "Other", "别的"]);
        assert_eq!(merge(hits, 2).len(), 2);
    }
}
