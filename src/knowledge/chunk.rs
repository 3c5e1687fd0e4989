//! Cuts documents into passages. Markdown is cut at headings; code fences and tables stay whole where they fit, and are
//! closed and opened again where they do not. Pure.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use unicode_segmentation::UnicodeSegmentation;

/// Rises whenever cutting or tokenizing changes, so that documents are taken in again.
pub const FORMAT: u32 = 1;
/// Characters kept of one heading.
const HEADING_CHARS: usize = 120;
/// Between headings of a path.
const UNDER: &str = " › ";

/// A passage before it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Headings above it, without the title.
    pub heading: String,
    /// Index words of its section: `<!-- index: … -->` below the heading.
    pub aliases: String,
    pub text: String,
}

/// A document, cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub title: String,
    pub chunks: Vec<Chunk>,
}

/// Cuts Markdown. `name` becomes the title where no first-level heading gives one. No passage has more than `limit`
/// characters. Comments are left out.
pub fn markdown(name: &str, text: &str, limit: usize) -> Cut {
    let mut cutter = Cutter { limit, ..Cutter::default() };
    let mut events = Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH).into_offset_iter();
    while let Some((event, range)) = events.next() {
        let source = text.get(range).unwrap_or_default();
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let words = heading_text(&mut events);
                cutter.heading(level, words);
            }
            Event::Start(tag) => {
                skip_to_end(&mut events);
                match tag {
                    Tag::CodeBlock(CodeBlockKind::Fenced(_)) => cutter.block(Kind::Fence, source),
                    Tag::Table(_) => cutter.block(Kind::Table, source),
                    Tag::HtmlBlock if source.trim_start().starts_with("<!--") => cutter.comment(source),
                    _ => cutter.block(Kind::Prose, source),
                }
            }
            _ => {}
        }
    }
    cutter.end_section();
    let title = cutter.title.unwrap_or_else(|| stem_of(name));
    Cut { title, chunks: cutter.chunks }
}

/// Cuts plain text at blank lines.
pub fn plain(name: &str, text: &str, limit: usize) -> Cut {
    let mut cutter = Cutter { limit, ..Cutter::default() };
    let unix = text.replace("\r\n", "\n");
    for paragraph in unix.split("\n\n") {
        cutter.block(Kind::Prose, paragraph);
    }
    cutter.end_section();
    Cut { title: stem_of(name), chunks: cutter.chunks }
}

fn stem_of(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned()
}

/// The words of a heading whose start has been read, up to its end.
fn heading_text<'a, R>(events: &mut impl Iterator<Item = (Event<'a>, R)>) -> String {
    let mut words = String::new();
    for (event, _) in events {
        match event {
            Event::Text(text) | Event::Code(text) => words.push_str(&text),
            Event::SoftBreak | Event::HardBreak => words.push(' '),
            Event::End(TagEnd::Heading(_)) => break,
            _ => {}
        }
    }
    words.trim().chars().take(HEADING_CHARS).collect()
}

/// Reads on to the end of the block whose start has been read.
fn skip_to_end<'a, R>(events: &mut impl Iterator<Item = (Event<'a>, R)>) {
    let mut depth = 1_usize;
    for (event, _) in events {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prose,
    Fence,
    Table,
}

/// Gathers blocks below one heading into passages.
#[derive(Default)]
struct Cutter {
    limit: usize,
    title: Option<String>,
    path: Vec<(HeadingLevel, String)>,
    aliases: String,
    /// Passages of the section so far; the last one is still growing.
    texts: Vec<String>,
    chunks: Vec<Chunk>,
}

impl Cutter {
    fn heading(&mut self, level: HeadingLevel, words: String) {
        self.end_section();
        self.path.retain(|(above, _)| *above < level);
        if level == HeadingLevel::H1 && self.title.is_none() && !words.is_empty() {
            self.title = Some(words);
        } else if !words.is_empty() {
            self.path.push((level, words));
        }
    }

    fn comment(&mut self, source: &str) {
        let inner = source.trim().trim_start_matches("<!--").trim_end_matches("-->").trim();
        if let Some(words) = inner.strip_prefix("index:") {
            self.aliases = words.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }

    fn block(&mut self, kind: Kind, source: &str) {
        let source = source.trim_end().trim_start_matches(['\n', '\r']);
        if source.trim().is_empty() {
            return;
        }
        if chars(source) <= self.limit {
            return self.append(source);
        }
        let pieces = match kind {
            Kind::Fence => split_fence(source, self.limit),
            Kind::Table => split_table(source, self.limit),
            Kind::Prose => split_prose(source, self.limit),
        };
        for piece in pieces {
            self.append(&piece);
        }
    }

    fn append(&mut self, piece: &str) {
        match self.texts.last_mut() {
            Some(text) if chars(text) + 2 + chars(piece) <= self.limit => {
                text.push_str("\n\n");
                text.push_str(piece);
            }
            _ => self.texts.push(piece.to_owned()),
        }
    }

    fn end_section(&mut self) {
        let heading = self.path.iter().map(|(_, words)| words.as_str()).collect::<Vec<_>>().join(UNDER);
        let aliases = std::mem::take(&mut self.aliases);
        let texts = std::mem::take(&mut self.texts);
        let chunks = texts.into_iter().map(|text| Chunk { heading: heading.clone(), aliases: aliases.clone(), text });
        self.chunks.extend(chunks);
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// Cuts a fence between its lines; every piece is a fence of its own.
fn split_fence(source: &str, limit: usize) -> Vec<String> {
    let mut lines: Vec<&str> = source.lines().collect();
    let opening = lines.first().copied().unwrap_or_default();
    let marker: String = opening.trim_start().chars().take_while(|c| matches!(c, '`' | '~')).collect();
    let around = chars(opening) + chars(&marker) + 2;
    if marker.is_empty() || around * 2 > limit {
        return split_prose(source, limit);
    }
    lines.remove(0);
    if lines.last().is_some_and(|last| last.trim().starts_with(&marker)) {
        lines.pop();
    }
    let pieces = pack_lines(&lines, limit - around);
    pieces.into_iter().map(|inner| format!("{opening}\n{inner}\n{marker}")).collect()
}

/// Cuts a table between its rows; every piece begins with the header.
fn split_table(source: &str, limit: usize) -> Vec<String> {
    let mut lines = source.lines();
    let header: Vec<&str> = lines.by_ref().take(2).collect();
    let header = header.join("\n");
    if chars(&header) * 2 > limit {
        return split_prose(source, limit);
    }
    let rows: Vec<&str> = lines.collect();
    let pieces = pack_lines(&rows, limit - chars(&header) - 1);
    pieces.into_iter().map(|rows| format!("{header}\n{rows}")).collect()
}

/// Joins lines to pieces of at most `limit` characters; only a line that is longer by itself is cut.
fn pack_lines(lines: &[&str], limit: usize) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for line in lines.iter().flat_map(|line| split_long(line, limit)) {
        match pieces.last_mut() {
            Some(piece) if chars(piece) + 1 + chars(&line) <= limit => {
                piece.push('\n');
                piece.push_str(&line);
            }
            _ => pieces.push(line),
        }
    }
    pieces
}

fn split_long(line: &str, limit: usize) -> Vec<String> {
    if chars(line) <= limit { vec![line.to_owned()] } else { split_prose(line, limit) }
}

/// Cuts prose where it hurts least: at a line's end, else a sentence's, else between words, else between characters.
fn split_prose(source: &str, limit: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = source.trim();
    while chars(rest) > limit {
        let end = rest.char_indices().nth(limit).map_or(rest.len(), |(at, _)| at);
        let window = rest.get(..end).unwrap_or(rest);
        let at = best_cut(rest, window);
        let (piece, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        pieces.push(piece.trim_end().to_owned());
        rest = after.trim_start();
    }
    if !rest.is_empty() {
        pieces.push(rest.to_owned());
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Where to cut `rest`, in bytes, at most the length of `window`, which it begins with.
fn best_cut(rest: &str, window: &str) -> usize {
    let past_half = |at: &usize| *at * 2 >= window.len();
    let after = |wanted: &dyn Fn(char) -> bool| {
        let found = window.char_indices().rev().find(|(_, c)| wanted(*c)).map(|(at, c)| at + c.len_utf8());
        found.filter(past_half)
    };
    after(&|c| c == '\n')
        .or_else(|| after(&|c| matches!(c, '。' | '！' | '？' | '；')))
        .or_else(|| window.rfind(". ").map(|at| at + 1).filter(past_half))
        .or_else(|| after(&char::is_whitespace))
        .or_else(|| {
            let bounds = rest.grapheme_indices(true).map(|(at, _)| at);
            bounds.take_while(|at| *at <= window.len()).last().filter(|at| *at > 0)
        })
        .unwrap_or(window.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headings_make_the_path_and_index_words_stay_out_of_sight() {
        let text = "# Guide\n\nIntro.\n\n## Start\n<!-- index: launch,\n boot -->\nRun it.\n\n### Port\n\nTaken?\n\n\
            ## End\n<!-- note -->\n\nBye.";
        let cut = markdown("guide/a.md", text, 500);
        assert_eq!(cut.title, "Guide");
        let found: Vec<_> =
            cut.chunks.iter().map(|c| (c.heading.as_str(), c.aliases.as_str(), c.text.as_str())).collect();
        let expected = [
            ("", "", "Intro."),
            ("Start", "launch, boot", "Run it."),
            ("Start › Port", "", "Taken?"),
            ("End", "", "Bye."),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_title_comes_from_the_heading_or_the_name() {
        assert_eq!(markdown("a/b.md", "text", 100).title, "b");
        assert_eq!(markdown("a/b.md", "## two\n\n# One `x`\n\ntext", 100).title, "One x");
        assert_eq!(plain("notes.txt", "# text", 100).title, "notes");
    }

    #[test]
    fn long_tables_repeat_their_header_and_long_fences_are_closed_and_opened_again() {
        let rows: String = (0..40).map(|n| format!("| key{n} | value {n} |\n")).collect();
        let table = markdown("t.md", &format!("| key | value |\n|---|---|\n{rows}"), 200);
        assert!(table.chunks.len() > 1);
        for chunk in &table.chunks {
            assert!(chunk.text.starts_with("| key | value |\n|---|---|\n"), "{}", chunk.text);
            assert!(chunk.text.lines().all(|line| line.starts_with('|') && line.ends_with('|')));
        }
        let fence = markdown("f.md", &format!("```sh\n{}```", "echo hello\n".repeat(60)), 200);
        assert!(fence.chunks.len() > 1);
        for chunk in &fence.chunks {
            assert!(chunk.text.starts_with("```sh\n") && chunk.text.ends_with("\n```"), "{}", chunk.text);
        }
    }

    #[test]
    fn prose_is_cut_at_the_least_painful_place() {
        let table = [
            ("sentence", "一二三四五六。七八九十", 8, vec!["一二三四五六。", "七八九十"]),
            ("word", "alpha beta gamma", 12, vec!["alpha beta", "gamma"]),
            ("line", "alpha\nbe ta", 8, vec!["alpha", "be ta"]),
            ("a family stays together", "ab👨‍👩‍👧‍👦", 8, vec!["ab", "👨‍👩‍👧‍👦"]),
        ];
        for (case, text, limit, expected) in table {
            let pieces = split_prose(text, limit);
            assert_eq!(pieces, expected, "{case}");
        }
    }

    fn visible(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

    proptest! {
        #[test]
        fn no_passage_is_too_long_whatever_the_text(text in "(\\PC|[\n#`|*<>-]){0,600}", limit in 20usize..200) {
            for chunk in markdown("x.md", &text, limit).chunks {
                prop_assert!(chars(&chunk.text) <= limit && !chunk.text.trim().is_empty());
            }
        }

        #[test]
        fn plain_text_loses_nothing(text in "[a-z 。\n\\PC]{0,600}", limit in 20usize..200) {
            let cut = plain("x.txt", &text, limit);
            let together: String = cut.chunks.iter().map(|chunk| visible(&chunk.text)).collect();
            prop_assert_eq!(together, visible(&text));
        }

        #[test]
        fn every_passage_has_whole_fences(lines in prop::collection::vec("[a-z ]{0,90}", 0..30), limit in 100usize..300) {
            let text = format!("before\n\n```text\n{}\n```\n\nafter", lines.join("\n"));
            for chunk in markdown("x.md", &text, limit).chunks {
                let marks = chunk.text.lines().filter(|line| line.starts_with("```")).count();
                prop_assert_eq!(marks % 2, 0, "{}", chunk.text);
            }
        }
    }
}
