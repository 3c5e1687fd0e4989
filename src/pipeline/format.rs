//! Cuts a reply to its platform's limits: bytes, graphemes, code fences, the platform's markup. Pure.

use super::markup;
use crate::directory::PlatformEntry;
use crate::platforms::Dialect;
use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;

/// A fence's opening line that is longer holds more than the name of a language, and is not repeated.
const MAX_OPENING: usize = 64;
/// A place to cut counts from this share of the room on: no part is needlessly small.
const EARLIEST_CUT: usize = 4;

/// The parts of a reply, in order, each within the platform's limit and none of them empty. A blank text has none.
pub fn parts(text: &str, platform: Option<&PlatformEntry>) -> Vec<String> {
    #[cfg(feature = "chaos-tests")]
    crate::sabotage::trip_in("format", text);
    let limit = platform.map_or(usize::MAX, |entry| entry.kind.limits.max_bytes);
    let dialect = platform.map_or(Dialect::Markdown, |entry| (entry.kind.dialect)(&entry.section));
    cut(&markup::render(text, dialect), limit)
}

/// Smaller pieces of a part that turned out too large after all; `None` when it cannot be cut.
pub fn halves(text: &str) -> Option<Vec<String>> {
    let pieces = cut(text, text.len() / 2 + 1);
    (pieces.len() > 1).then_some(pieces)
}

/// Cuts at a paragraph, else a line, a sentence, a word, a grapheme, into pieces of at most `limit` bytes. A code block
/// that is cut is closed and opened again, unless its fences alone would fill half of the limit.
fn cut(text: &str, limit: usize) -> Vec<String> {
    let text = mended(text);
    let mut blocks = code_blocks(&text);
    if blocks.iter().any(|block| block.overhead(&text) > limit / 2) {
        blocks.clear();
    }
    let mut pieces = Vec::new();
    let mut at = skip_blanks(&text, 0);
    while at < text.len() {
        let around = blocks.iter().find(|block| block.code.contains(&at));
        let opening = around.map_or("", |block| block.opening(&text));
        let end = piece_end(&text, at, limit.saturating_sub(opening.len()), &blocks);
        let left_open = blocks.iter().find(|block| block.code.start < end && end <= block.code.end);
        let body = text.get(at..end).unwrap_or_default().trim_end();
        if !body.trim_start().is_empty() {
            let closing = left_open.map(|block| format!("\n{}", block.closing(&text))).unwrap_or_default();
            pieces.push([opening, body, &closing].concat());
        }
        at = skip_blanks(&text, end);
        if let Some(block) = left_open.filter(|block| at >= block.code.end) {
            at = skip_blanks(&text, at.max(block.whole.end));
        }
    }
    pieces
}

/// Where the piece that begins at `at` ends, closing fence included in the room.
fn piece_end(text: &str, at: usize, room: usize, blocks: &[Block]) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    if rest.len() <= room {
        return text.len();
    }
    let reach = at.saturating_add(room);
    let is_near = |block: &&Block| block.whole.start < reach && at < block.whole.end;
    let near: Vec<_> = blocks.iter().filter(is_near).collect();
    let reserve = near.iter().map(|block| block.closing(text).len() + 1).max().unwrap_or(0);
    let splits_fence = |end: usize| near.iter().any(|block| block.is_fence_cut_by(end));
    let places = Places::within(rest, room.saturating_sub(reserve), |offset| !splits_fence(at + offset));
    at + places.best().unwrap_or_else(|| rest.chars().next().map_or(rest.len(), char::len_utf8))
}

/// The last places to cut within the room, as offsets; 0 is none.
#[derive(Default)]
struct Places {
    paragraph: usize,
    line: usize,
    sentence: usize,
    word: usize,
    grapheme: usize,
    /// The last code point that fits, for a grapheme larger than the room.
    letter: usize,
}

impl Places {
    fn within(text: &str, room: usize, may_cut: impl Fn(usize) -> bool) -> Self {
        let mut places = Self::default();
        let mut before = "";
        for (start, grapheme) in text.grapheme_indices(true) {
            let end = start + grapheme.len();
            if end > room {
                let letters = text.char_indices().map(|(offset, _)| offset).take_while(|offset| *offset <= room);
                places.letter = if start == 0 { letters.last().unwrap_or(0) } else { 0 };
                break;
            }
            if may_cut(end) {
                places.note(end, grapheme, before, start);
            }
            before = grapheme;
        }
        places
    }

    fn note(&mut self, end: usize, grapheme: &str, before: &str, start: usize) {
        self.grapheme = end;
        let is_break = |it: &str| it == "\n";
        if is_break(grapheme) {
            self.line = end;
            if is_break(before) {
                self.paragraph = end;
            }
        }
        if grapheme.chars().all(char::is_whitespace) {
            self.word = end;
        }
        let closes =
            self.sentence == start && start > 0 && matches!(grapheme, "”" | "’" | "」" | "』" | "）" | "\"" | ")");
        let ends = matches!(grapheme, "。" | "！" | "？" | "；" | "…");
        let is_space_after_stop = grapheme == " " && matches!(before, "." | "!" | "?" | ";" | ":");
        if closes || ends || is_space_after_stop {
            self.sentence = end;
        }
    }

    fn best(&self) -> Option<usize> {
        let in_order = [self.paragraph, self.line, self.sentence, self.word];
        let earliest = self.grapheme / EARLIEST_CUT;
        let nice = in_order.into_iter().find(|end| *end > earliest);
        nice.or(Some(self.grapheme.max(self.letter))).filter(|end| *end > 0)
    }
}

/// A fenced code block, as byte ranges of the text: all of it, and the code between its fences.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    whole: Range<usize>,
    code: Range<usize>,
}

impl Block {
    /// The opening line, with its line break.
    fn opening<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.whole.start..self.code.start).unwrap_or_default()
    }

    /// The closing line, without.
    fn closing<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.code.end..self.whole.end).unwrap_or_default().trim_end()
    }

    fn overhead(&self, text: &str) -> usize {
        self.opening(text).len() + self.closing(text).len() + 1
    }

    /// Whether a cut there would leave half a fence, or an opening one with no code behind it.
    fn is_fence_cut_by(&self, end: usize) -> bool {
        (self.whole.start < end && end <= self.code.start) || (self.code.end < end && end < self.whole.end)
    }
}

/// A line that opens or closes a code block.
struct Fence<'a> {
    /// Indentation and quote marks in front.
    prefix: &'a str,
    marker: &'a str,
    info: &'a str,
}

impl<'a> Fence<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let line = line.trim_end();
        let (prefix, rest) = split_where(line, |letter| !matches!(letter, ' ' | '\t' | '>'));
        let first = rest.chars().next().filter(|letter| matches!(letter, '`' | '~'))?;
        let (marker, info) = split_where(rest, |letter| letter != first);
        let is_fence = marker.len() >= 3 && !(first == '`' && info.contains('`'));
        is_fence.then_some(Self { prefix, marker, info })
    }

    fn is_closed_by(&self, other: &Fence<'_>) -> bool {
        other.info.trim().is_empty() && other.marker.starts_with(self.marker)
    }
}

/// Splits in front of the first letter that is asked for.
fn split_where(text: &str, is_it: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at_checked(text.find(is_it).unwrap_or(text.len())).unwrap_or((text, ""))
}

/// The text with every fence closed and with opening lines that are short enough to be repeated.
fn mended(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut mended = String::with_capacity(text.len() + 8);
    let mut open: Option<Fence<'_>> = None;
    for line in text.split_inclusive('\n') {
        let fence = Fence::of(line);
        match (&open, fence) {
            (None, Some(fence)) if line.len() > MAX_OPENING => {
                mended.extend([fence.prefix, fence.marker, "\n", fence.prefix, fence.info.trim_start(), "\n"]);
                open = Some(fence);
            }
            (None, Some(fence)) => {
                mended.push_str(line);
                open = Some(fence);
            }
            (Some(opened), Some(fence)) if opened.is_closed_by(&fence) => {
                mended.push_str(line);
                open = None;
            }
            _ => mended.push_str(line),
        }
    }
    if let Some(fence) = open {
        let line_break = if mended.ends_with('\n') { "" } else { "\n" };
        mended.extend([line_break, fence.prefix, fence.marker]);
    }
    mended
}

/// The code blocks of a mended text.
fn code_blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(Fence<'_>, usize, usize)> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        match (open.take(), Fence::of(line)) {
            (None, Some(fence)) => open = Some((fence, start, end)),
            (Some((opened, whole, code)), Some(fence)) if opened.is_closed_by(&fence) => {
                blocks.push(Block { whole: whole..end, code: code..start });
            }
            (still_open, _) => open = still_open,
        }
        start = end;
    }
    blocks
}

/// Where the next piece begins: behind blank lines, and behind the spaces of a line that was cut in two.
fn skip_blanks(text: &str, at: usize) -> usize {
    let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    let is_line_start = before.is_empty() || before.ends_with('\n');
    // By grapheme: a space may carry an accent.
    let spaces = rest.graphemes(true).take_while(|grapheme| !is_line_start && *grapheme == " ").count();
    let rest = rest.get(spaces..).unwrap_or_default();
    text.len() - rest.trim_start_matches('\n').len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Platform, ReplyFormat};
    use crate::platforms;
    use crate::supervise::Port;
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Parser, Tag, TagEnd};
    use serde_json::Value;
    use std::sync::Arc;

    /// Fences that are not closed, by a count of our own.
    fn open_fences(part: &str) -> usize {
        let mut open = None;
        for line in part.lines() {
            let line = line.trim_start_matches([' ', '>']);
            match open {
                None if line.starts_with("```") && !line.trim_start_matches('`').contains('`') => {
                    open = Some(line.len() - line.trim_start_matches('`').len());
                }
                Some(ticks) if line.starts_with(&"`".repeat(ticks)) && line.trim_matches('`').trim().is_empty() => {
                    open = None;
                }
                _ => {}
            }
        }
        usize::from(open.is_some())
    }

    fn letters(text: &str) -> String {
        text.chars().filter(|letter| !letter.is_whitespace()).collect()
    }

    #[test]
    fn the_vectors_of_the_protocol() {
        let file = include_str!("../../tests/fixtures/wecom/text_limits.json");
        let vectors: Value = serde_json::from_str(file).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let limit = usize::try_from(case["limit"].as_u64().unwrap()).unwrap();
            let text = match case.get("input") {
                Some(text) => text.as_str().unwrap().to_owned(),
                None => {
                    let times = usize::try_from(case["input_repeat"][1].as_u64().unwrap()).unwrap();
                    case["input_repeat"][0].as_str().unwrap().repeat(times)
                }
            };
            let pieces = cut(&text, limit);
            if let Some(expected) = case["expect_parts"].as_u64() {
                assert_eq!(pieces.len() as u64, expected, "{name}");
            }
            if let Some(most) = case["expect_first_part_bytes_max"].as_u64() {
                assert!(pieces[0].len() as u64 <= most, "{name}");
            }
            for piece in &pieces {
                assert!(!piece.is_empty() && piece.len() <= limit, "{name}: {piece:?}");
                assert_eq!(open_fences(piece), 0, "{name}: {piece:?}");
            }
            if name == "fence" {
                assert!(pieces.len() > 1 && pieces.iter().filter(|piece| piece.starts_with("```python\n")).count() > 1);
                assert!(pieces.last().unwrap().ends_with("结束"));
                let lines: Vec<_> = pieces.iter().flat_map(|piece| piece.lines()).collect();
                assert!((0..=10).all(|n| lines.contains(&format!("print({n})").as_str())), "{lines:?}");
            }
        }
    }

    #[test]
    fn cuts_where_a_reader_would() {
        let table = [
            ("fits", "one two", 7, vec!["one two"]),
            ("blank", " \n\n ", 10, vec![]),
            ("paragraph before line", "aaaa\nbb\n\ncc\ndddd", 14, vec!["aaaa\nbb", "cc\ndddd"]),
            ("line before sentence", "aa. bbb\ncc. dd ee", 12, vec!["aa. bbb", "cc. dd ee"]),
            ("sentence", "你好。再见吧朋友", 18, vec!["你好。", "再见吧朋友"]),
            ("sentence with its quote", "“好。”然后呢大家", 20, vec!["“好。”", "然后呢大家"]),
            ("word", "alpha beta gamma", 12, vec!["alpha beta", "gamma"]),
            ("indentation of code stays", "x:\n    a = 1\n    b = 2", 14, vec!["x:\n    a = 1", "    b = 2"]),
            ("family", "👨‍👩‍👧👨‍👩‍👧", 30, vec!["👨‍👩‍👧", "👨‍👩‍👧"]),
            ("no tiny first part", "a\nbbbbbbbbbbbbbbbbbbbbbb", 20, vec!["a\nbbbbbbbbbbbbbbbbbb", "bbbb"]),
            ("unclosed", "```js\na()", 100, vec!["```js\na()\n```"]),
        ];
        for (case, text, limit, expected) in table {
            assert_eq!(cut(text, limit), expected, "{case}");
        }
    }

    #[test]
    fn code_is_closed_and_opened_again() {
        let text = format!("before\n\n```rust\n{}```\nafter", "let a = 1;\n".repeat(20));
        let pieces = cut(&text, 100);
        assert_eq!(pieces.first().map(String::as_str).map(|piece| piece.starts_with("before")), Some(true));
        for piece in pieces.iter().skip(1) {
            assert!(piece.starts_with("```rust\nlet") && open_fences(piece) == 0 && piece.len() <= 100, "{piece:?}");
        }
        let quoted = format!("> ~~~~\n{}> ~~~~", "> code\n".repeat(20));
        assert!(
            cut(&quoted, 60).iter().all(|piece| piece.starts_with("> ~~~~\n> code") && piece.ends_with("\n> ~~~~"))
        );
    }

    #[test]
    fn a_part_that_is_too_large_is_halved() {
        let text = "word ".repeat(100);
        let pieces = halves(&text).unwrap();
        assert!(pieces.len() >= 2 && pieces.iter().all(|piece| piece.len() <= text.len() / 2 + 1));
        assert_eq!(halves("a"), None);
        assert_eq!(halves("企"), None);
        assert!(halves("ab").is_none_or(|pieces| pieces.concat() == "ab"));
    }

    #[test]
    fn a_grapheme_larger_than_the_limit_is_cut_by_letters() {
        let text = format!("a{}", "\u{301}".repeat(100));
        let pieces = cut(&text, 21);
        assert!(pieces.iter().all(|piece| piece.len() <= 21));
        assert_eq!(pieces.concat(), text);
    }

    #[test]
    fn a_platform_shows_its_own_markup_within_its_own_limit() {
        let entry = |reply_format| PlatformEntry {
            kind: &platforms::wecom::KIND,
            section: Arc::new(Platform { reply_format, ..Platform::default() }),
            ingress: None,
            deliver: Port::new("Deliver", 1),
            preview: Port::new("Preview", 1),
        };
        let text = format!("# 标题\n\n{}", "**重点** 和 `代码`。".repeat(200));
        let plain = parts(&text, Some(&entry(ReplyFormat::Text)));
        assert_eq!(letters(&plain.concat()), letters(&format!("标题{}", "重点和代码。".repeat(200))));
        let marked = parts(&text, Some(&entry(ReplyFormat::Markdown)));
        assert!(marked[0].starts_with("# 标题\n\n**重点** 和 `代码`。**重点**"));
        assert!(plain.len() > 1 && plain.iter().chain(&marked).all(|part| part.len() <= 2048));
        assert_eq!(parts(&text, None), [text]);
    }

    proptest! {
        #![proptest_config(crate::properties(128))]

        #[test]
        fn parts_fit_and_lose_nothing(
            text in prop_oneof![any::<String>(), "(?s).{0,300}", "[a-c .\n。”你👋\u{301}]{0,400}"],
            limit in 16usize..200,
        ) {
            let pieces = cut(&text, limit);
            prop_assert!(pieces.iter().all(|piece| !piece.trim().is_empty() && piece.len() <= limit), "{pieces:?}");
            if !text.contains("```") && !text.contains("~~~") {
                prop_assert_eq!(letters(&pieces.concat()), letters(&text));
            }
        }

        #[test]
        fn fences_are_balanced(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just("```".to_owned()), Just("```python".to_owned()), Just("````".to_owned()), Just(String::new()),
                    "[a-z 你好。]{1,40}", Just("  ```".to_owned()), "`{1,2}[a-z]{1,90}",
                ],
                1..30,
            ),
            limit in 64usize..300,
        ) {
            let text = lines.join("\n");
            let pieces = cut(&text, limit);
            for piece in &pieces {
                prop_assert!(piece.len() <= limit && open_fences(piece) == 0, "{piece:?} of {text:?}");
            }
            let words = |text: &str| letters(&text.replace("```python", "").replace('`', ""));
            prop_assert_eq!(words(&pieces.concat()), words(&text));
        }

        #[test]
        fn code_stays_code_and_prose_stays_prose(
            paragraphs in proptest::collection::vec((any::<bool>(), "[a-z][a-z \n]{0,90}"), 1..12),
            limit in 64usize..300,
        ) {
            let block = |(is_code, text): &(bool, String)| match is_code {
                true => format!("```rust\n{text}\n```\n\n"),
                false => format!("{}\n\n", text.split_whitespace().collect::<Vec<_>>().join("     ")),
            };
            let text: String = paragraphs.iter().map(block).collect();
            let code_of = |text: &str| {
                let mut is_code = false;
                let mut code = String::new();
                for event in Parser::new(text) {
                    match event {
                        Event::Start(Tag::CodeBlock(_)) => is_code = true,
                        Event::End(TagEnd::CodeBlock) => is_code = false,
                        Event::Text(text) if is_code => code.push_str(&text),
                        _ => {}
                    }
                }
                letters(&code)
            };
            let pieces = cut(&text, limit);
            prop_assert_eq!(pieces.iter().map(|piece| code_of(piece)).collect::<String>(), code_of(&text), "{:?}", pieces);
        }

        #[test]
        fn no_grapheme_is_cut(text in "[👨‍👩‍👧🇨🇳e\u{301}企 a]{1,80}", limit in 32usize..64) {
            let whole: Vec<_> = text.graphemes(true).collect();
            let pieces = cut(&text, limit);
            let cut_up: Vec<_> = pieces.iter().flat_map(|piece| piece.graphemes(true)).collect();
            let seen = |list: Vec<&str>| list.into_iter().filter(|it| !it.trim().is_empty()).map(str::to_owned).collect::<Vec<_>>();
            if whole.iter().all(|grapheme| grapheme.len() < 32) {
                prop_assert_eq!(seen(cut_up), seen(whole));
            }
        }
    }
}
