//! What counts as a term: words, lower-case and lightly stemmed, and pairs of neighbouring Chinese or Japanese
//! characters. No dictionary. The same rules read documents and questions. Pure.

use super::{fillers, synonyms};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Units of a question that count, at most; a pasted page is cut here.
const UNITS: usize = 64;
/// Terms of a question that are looked up, synonyms included, at most.
const TERMS: usize = 256;
/// A letter sequence longer than this is no word; the rest of it is left out.
const WORD_BYTES: usize = 64;
/// Credit for a synonym, and for a character whose pairs are not in the passage but which itself is.
const SYNONYM: f64 = 0.8;
const LONE_CHARACTER: f64 = 0.4;

/// A stretch of text without punctuation inside.
enum Stretch<'a> {
    Word { word: &'a str, is_name: bool },
    Characters(&'a [char]),
}

/// Whether a character belongs to a script that is written without spaces.
pub fn is_ideographic(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
        && c.is_alphanumeric()
}

/// Goes through the stretches of a text. A word comes in small letters.
fn each_stretch(text: &str, mut see: impl FnMut(Stretch<'_>)) {
    let (mut word, mut run) = (String::new(), Vec::new());
    let mut begins_sentence = true;
    for c in text.chars().chain([' ']) {
        let in_run = is_ideographic(c);
        let in_word = !in_run && c.is_alphanumeric();
        if !in_run && !run.is_empty() {
            see(Stretch::Characters(&run));
            run.clear();
            begins_sentence = false;
        }
        if !in_word && !word.is_empty() {
            let is_name = word.chars().skip(usize::from(begins_sentence)).any(char::is_uppercase);
            to_small_letters(&mut word);
            see(Stretch::Word { word: &word, is_name });
            word.clear();
            begins_sentence = false;
        }
        begins_sentence |= matches!(c, '.' | '!' | '?' | '\n' | ':' | '。' | '！' | '？' | '：');
        if in_run {
            run.push(c);
        } else if in_word && word.len() < WORD_BYTES {
            word.push(c);
        }
    }
}

fn to_small_letters(word: &mut String) {
    if word.is_ascii() {
        word.make_ascii_lowercase();
    } else {
        // The small form of a letter may be a letter and a mark.
        *word = word.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    }
}

/// Goes through the terms of a text in order, repeats included.
pub fn each_term(text: &str, mut see: impl FnMut(&str)) {
    each_stretch(text, |stretch| match stretch {
        Stretch::Word { word, .. } => see(&stem(word)),
        Stretch::Characters(run) => each_pair(run, &mut see),
    });
}

/// The terms of a text in order, repeats included.
pub fn of_text(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    each_term(text, |term| terms.push(term.to_owned()));
    terms
}

/// Goes through the overlapping pairs of a run; a single character is its own term.
fn each_pair(run: &[char], mut see: impl FnMut(&str)) {
    let mut pair = String::new();
    for characters in run.windows(run.len().clamp(1, 2)) {
        pair.clear();
        pair.extend(characters);
        see(&pair);
    }
}

fn pairs(run: &[char]) -> Vec<String> {
    let mut pairs = Vec::new();
    each_pair(run, |pair| pairs.push(pair.to_owned()));
    pairs
}

/// Brings the common forms of an English word together; other words stay as they are.
///
/// Lighter than Porter's: plural, `-ing`, `-ed`, `-ation` and a final `e`, and never down to fewer than three letters.
pub fn stem(word: &str) -> Cow<'_, str> {
    if !word.bytes().all(|b| b.is_ascii_lowercase()) || word.len() < 4 {
        return Cow::Borrowed(word);
    }
    match word {
        w if w.ends_with("ies") && w.len() > 4 => Cow::Owned(bare(&format!("{}y", cut(w, 3))).to_owned()),
        w if w.ends_with("sses") || w.ends_with("xes") || w.ends_with("ches") || w.ends_with("shes") => {
            Cow::Borrowed(bare(cut(w, 2)))
        }
        w if w.ends_with('s') && !w.ends_with("ss") && !w.ends_with("us") && !w.ends_with("is") => {
            Cow::Borrowed(bare(cut(w, 1)))
        }
        w => Cow::Borrowed(bare(w)),
    }
}

/// A singular without its verbal ending and its final `e`.
fn bare(singular: &str) -> &str {
    let bare = ["ation", "ing", "ed"].iter().find_map(|ending| {
        let rest = singular.strip_suffix(ending)?;
        (rest.len() >= 3 && rest.bytes().any(|b| b"aeiouy".contains(&b))).then(|| undouble(rest))
    });
    let bare = bare.unwrap_or(singular);
    if bare.len() > 3 { bare.strip_suffix('e').unwrap_or(bare) } else { bare }
}

fn cut(word: &str, letters: usize) -> &str {
    word.get(..word.len().saturating_sub(letters)).unwrap_or(word)
}

/// `stopp` → `stop`, but `fall`, `pass`, `buzz` keep their letters.
fn undouble(word: &str) -> &str {
    let mut letters = word.bytes().rev();
    match (letters.next(), letters.next()) {
        (Some(last), Some(before)) if last == before && !b"lszaeiou".contains(&last) => cut(word, 1),
        _ => word,
    }
}

/// A question, taken apart into what it asks about.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    pub units: Vec<Unit>,
    /// Whether it is written in characters rather than in words.
    pub is_ideographic: bool,
}

/// One word, or one character of a run, that a good passage should be about.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Unit {
    /// Terms of which any one in a passage covers the unit whole.
    pub own: Vec<String>,
    /// Other words for it: each list of terms must be in the passage together.
    pub synonyms: Vec<&'static [String]>,
    /// The character itself, for a unit of a run.
    pub character: Option<char>,
    /// A character with nothing but fillers around it.
    pub is_alone: bool,
    /// A character that means little alone, such as 会 or 有.
    pub is_function: bool,
    /// Written as names and abbreviations are: with a capital letter that does not begin a sentence.
    pub is_name: bool,
}

impl Unit {
    /// How far a passage covers the unit, 0 to 1.
    pub fn credit(&self, passage: &PassageTerms) -> f64 {
        let best = |terms: &[String]| terms.iter().map(|term| passage.credit(term)).fold(0.0, f64::max);
        let all = |terms: &&[String]| terms.iter().map(|term| passage.credit(term)).fold(1.0, f64::min);
        let by_synonym = self.synonyms.iter().filter(|terms| !terms.is_empty()).map(all).fold(0.0, f64::max);
        let has_character = self.character.is_some_and(|c| !self.is_function && passage.characters.contains(&c));
        let by_character = if has_character { LONE_CHARACTER } else { 0.0 };
        best(&self.own).max(by_synonym * SYNONYM).max(by_character)
    }
}

/// What a passage offers to one question, for [`Unit::credit`].
pub struct PassageTerms<'q> {
    /// Terms of the question that are in sight.
    shown: HashSet<&'q str>,
    /// Those among the index words, with the credit that they give.
    aliases: HashMap<&'q str, f64>,
    characters: HashSet<char>,
    /// Whether a good part of it is written in characters.
    pub is_ideographic: bool,
}

impl<'q> PassageTerms<'q> {
    /// Reads what is shown of a passage, and its index words, with regard to a question's terms.
    ///
    /// An index entry counts by how much of it the question has: `delete old data` is not all that `old` asks about.
    pub fn of(shown: &[&str], aliases: &str, question: &'q HashSet<String>) -> Self {
        let letters = || shown.iter().flat_map(|text| text.chars()).filter(|c| c.is_alphanumeric());
        let characters: HashSet<char> = letters().filter(|c| is_ideographic(*c)).collect();
        let (all, ideographic) = (letters().count(), letters().filter(|c| is_ideographic(*c)).count());
        let mut credits = HashMap::new();
        for entry in entries(aliases).filter(|entry| may_share(entry, question)) {
            let units = Query::of(entry).units;
            let credit = share(&units, question).sqrt();
            for term in units.iter().flat_map(|unit| &unit.own).filter_map(|term| question.get(term)) {
                let best: &mut f64 = credits.entry(term.as_str()).or_default();
                *best = best.max(credit);
            }
        }
        let mut terms = HashSet::new();
        for text in shown {
            each_term(text, |term| terms.extend(question.get(term).map(String::as_str)));
        }
        Self { shown: terms, aliases: credits, characters, is_ideographic: ideographic * 5 > all }
    }

    fn credit(&self, term: &str) -> f64 {
        if self.shown.contains(term) { 1.0 } else { self.aliases.get(term).copied().unwrap_or_default() }
    }
}

/// Index entries: between commas where there are any, else between spaces.
fn entries(aliases: &str) -> impl Iterator<Item = &str> {
    let has_commas = aliases.contains([',', '，', '、']);
    let between = move |c: char| if has_commas { matches!(c, ',' | '，' | '、') } else { c.is_whitespace() };
    aliases.split(between).filter(|entry| !entry.trim().is_empty())
}

/// Whether taking a text apart can bring up a term of the question; false is certain, and found out quickly.
pub fn may_share(text: &str, question: &HashSet<String>) -> bool {
    // A character between fillers is a term of its own, but none of the text.
    let mut shares = text.chars().any(is_ideographic);
    each_term(text, |term| shares |= question.contains(term));
    shares
}

/// How much of an index entry the question has, 0 to 1.
fn share(entry: &[Unit], question: &HashSet<String>) -> f64 {
    let known = entry.iter().filter(|unit| unit.own.iter().any(|term| question.contains(term))).count();
    known as f64 / entry.len().max(1) as f64
}

impl Query {
    /// Takes any text apart. A text of filler words only has no units.
    pub fn of(text: &str) -> Self {
        let mut units: Vec<Unit> = Vec::new();
        each_stretch(text, |stretch| match stretch {
            _ if units.len() >= UNITS => {}
            Stretch::Word { word, .. } if fillers::is_word(word) => {}
            Stretch::Word { word, is_name } => units.push(Unit { is_name, ..word_unit(word) }),
            Stretch::Characters(run) => units.extend(run_units(run)),
        });
        units.truncate(UNITS);
        let mut seen = HashSet::new();
        units.retain(|unit| seen.insert((unit.own.clone(), unit.character)));
        Self { units, is_ideographic: text.chars().any(is_ideographic) }
    }

    /// Terms that may lead to a passage, each once.
    pub fn terms(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let all = self.units.iter().flat_map(|unit| unit.own.iter().chain(unit.synonyms.iter().copied().flatten()));
        all.filter(|term| seen.insert((*term).clone())).take(TERMS).cloned().collect()
    }
}

fn word_unit(word: &str) -> Unit {
    let own = stem(word).into_owned();
    let synonyms = synonyms::of(&own);
    Unit { own: vec![own], synonyms, ..Unit::default() }
}

/// What a run says at one place.
#[derive(Clone, Default)]
struct Place {
    is_filler: bool,
    synonyms: Vec<&'static [String]>,
}

fn run_units(run: &[char]) -> Vec<Unit> {
    let places = places_of(run);
    let mut units = Vec::new();
    let content: Vec<(char, Option<Place>)> =
        run.iter().zip(places).map(|(c, place)| (*c, (!place.is_filler).then_some(place))).collect();
    for piece in content.split(|(_, place)| place.is_none()) {
        let characters: Vec<char> = piece.iter().map(|(c, _)| *c).collect();
        for (position, (c, place)) in piece.iter().enumerate() {
            // The pairs that this character is in: one at an end of the piece, two inside, itself when it is alone.
            let around = characters.get(position.saturating_sub(1)..(position + 2).min(characters.len()));
            units.push(Unit {
                own: around.map(pairs).unwrap_or_default(),
                synonyms: place.as_ref().map(|place| place.synonyms.clone()).unwrap_or_default(),
                character: Some(*c),
                is_function: fillers::is_function(*c),
                is_alone: characters.len() == 1,
                is_name: false,
            });
        }
    }
    units
}

/// Marks filler phrases and finds synonyms, the longest phrase first.
fn places_of(run: &[char]) -> Vec<Place> {
    let mut places = Vec::with_capacity(run.len());
    let mut rest = run;
    while !rest.is_empty() {
        let (place, length) = longest(rest);
        places.extend(std::iter::repeat_n(place, length));
        rest = rest.get(length..).unwrap_or_default();
    }
    places
}

fn longest(rest: &[char]) -> (Place, usize) {
    for length in (1..=synonyms::LONGEST.min(rest.len())).rev() {
        let phrase: String = rest.iter().take(length).collect();
        let others = synonyms::of(&phrase);
        if !others.is_empty() {
            return (Place { is_filler: false, synonyms: others }, length);
        }
        if fillers::is_phrase(&phrase) {
            return (Place { is_filler: true, synonyms: Vec::new() }, length);
        }
    }
    (Place::default(), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_of_a_word_meet_in_one_stem() {
        let table = [
            ("plural", &["message", "messages"][..]),
            ("y plural", &["reply", "replies"]),
            ("doubling", &["stop", "stopped", "stopping"]),
            ("final e", &["configure", "configured", "configuring", "configuration"]),
            ("restart", &["restart", "restarts", "restarted", "restarting"]),
            ("es", &["box", "boxes"]),
        ];
        for (case, forms) in table {
            let stems: HashSet<_> = forms.iter().map(|form| stem(form)).collect();
            assert_eq!(stems.len(), 1, "{case}: {stems:?}");
        }
        for kept in ["status", "access", "this", "url", "60020", "straße", "ring"] {
            assert_eq!(stem(kept), if kept == "this" { "this" } else { kept }, "{kept}");
        }
    }

    #[test]
    fn text_becomes_words_and_pairs() {
        let table = [
            ("words", "The Replies, stopped!", vec!["the", "reply", "stop"]),
            ("names", "OPENAI_API_KEY=x", vec!["openai", "api", "key", "x"]),
            ("pairs", "备份文件", vec!["备份", "份文", "文件"]),
            ("single", "停。a停b", vec!["停", "a", "停", "b"]),
            ("mixed", "用Webhook接收", vec!["用", "webhook", "接收"]),
            ("nothing", "  …!\u{0}\u{202e}", vec![]),
        ];
        for (case, text, expected) in table {
            assert_eq!(of_text(text), expected, "{case}");
        }
    }

    #[test]
    fn fillers_are_no_units_and_a_character_knows_its_pairs() {
        assert!(Query::of("what is it?").units.is_empty());
        assert!(Query::of("这是什么呢？").units.is_empty());
        let query = Query::of("怎么备份文件");
        let own: Vec<_> = query.units.iter().map(|unit| unit.own.join("+")).collect();
        assert_eq!(own, ["备份", "备份+份文", "份文+文件", "文件"]);
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_terms_of_letters_and_digits(text in "\\PC{0,400}") {
            let query = Query::of(&text);
            prop_assert!(query.units.len() <= UNITS);
            for term in of_text(&text).iter().chain(&query.terms()) {
                prop_assert!(!term.is_empty() && term.chars().all(char::is_alphanumeric), "{term:?}");
            }
        }
    }
}
