//! Turns a reply's Markdown into what a platform shows: readable text, or the few marks that WeCom knows. Pure.

use crate::platforms::Dialect;
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use std::borrow::Cow;

/// Quotes and lists that are shown inside each other; deeper ones are shown at this depth.
const MAX_DEPTH: usize = 6;

/// The text as the dialect's readers see it best. Every visible character of the reply is kept.
pub fn render(markdown: &str, dialect: Dialect) -> Cow<'_, str> {
    if dialect == Dialect::Markdown {
        return Cow::Borrowed(markdown);
    }
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut page = Page { has_marks: dialect == Dialect::WeCom, ..Page::default() };
    for event in Parser::new_ext(markdown, options) {
        page.event(event);
    }
    let text = if page.has_marks { page.text } else { without_anchors(&page.text) };
    // Comments and link definitions alone show nothing: better raw than silent.
    if text.trim().is_empty() { Cow::Borrowed(markdown) } else { Cow::Owned(text) }
}

/// WeCom's text messages make a link of `<a href=…>` with its target out of sight; what a model wrote stays text.
fn without_anchors(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (number, piece) in text.split('<').enumerate() {
        if number > 0 {
            safe.push('<');
        }
        let mut letters = piece.chars();
        let is_tag = letters.next().is_some_and(|letter| letter.eq_ignore_ascii_case(&'a'));
        if number > 0 && is_tag && letters.next().is_some_and(char::is_whitespace) {
            safe.push(' ');
        }
        safe.push_str(piece);
    }
    safe
}

/// Text in the making. Line breaks are kept back until something follows them.
#[derive(Default)]
struct Page {
    has_marks: bool,
    text: String,
    /// Breaks owed before the next text, and the containers that go on through the blank lines among them.
    breaks: usize,
    blank_depth: usize,
    /// What begins each line: `> ` of a quote, the indentation of a list.
    containers: Vec<&'static str>,
    lists: Vec<Option<u64>>,
    /// True between a list's mark and the item's text.
    at_mark: bool,
    /// Targets of the open links and images, and where their text begins.
    links: Vec<(String, usize)>,
    code: Option<String>,
    cells: usize,
}

impl Page {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.write(&text),
            },
            Event::Code(code) if self.has_marks => self.write(&format!("`{code}`")),
            Event::InlineHtml(html) if html.starts_with("<br") => self.ask_breaks(1),
            Event::Html(text) | Event::InlineHtml(text) | Event::Code(text) => self.write(&text),
            Event::SoftBreak | Event::HardBreak => self.ask_breaks(1),
            Event::Rule => self.block("———"),
            Event::TaskListMarker(is_done) => self.write(if is_done { "☑ " } else { "☐ " }),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => self.write(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock | Tag::Table(_) => self.ask_breaks(2),
            Tag::Heading { level, .. } => {
                self.ask_breaks(2);
                self.mark(hashes(level));
            }
            Tag::BlockQuote(_) => {
                self.ask_breaks(2);
                self.containers.push("> ");
            }
            Tag::CodeBlock(kind) => {
                self.ask_breaks(2);
                // One word names the language; more than one is text that somebody wrote there.
                let info = match &kind {
                    CodeBlockKind::Fenced(info) if info.contains(char::is_whitespace) => format!("{info}\n"),
                    _ => String::new(),
                };
                self.code = Some(info);
            }
            Tag::List(first) => {
                self.ask_breaks(if self.lists.is_empty() { 2 } else { 1 });
                self.lists.push(first);
            }
            Tag::Item => self.start_item(),
            Tag::TableHead | Tag::TableRow => {
                self.ask_breaks(1);
                self.cells = 0;
            }
            Tag::TableCell => {
                if self.cells > 0 {
                    self.write(" | ");
                }
                self.cells += 1;
            }
            Tag::Strong => self.mark("**"),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.begin();
                self.mark("[");
                self.links.push((dest_url.into_string(), self.text.len()));
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::HtmlBlock | TagEnd::Table => self.ask_breaks(2),
            TagEnd::BlockQuote(_) => {
                self.containers.pop();
                self.ask_breaks(2);
            }
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.ask_breaks(if self.lists.is_empty() { 2 } else { 1 });
            }
            TagEnd::Item => {
                self.containers.pop();
                self.at_mark = false;
                self.ask_breaks(1);
            }
            TagEnd::Strong => self.mark("**"),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            _ => {}
        }
    }

    fn start_item(&mut self) {
        self.ask_breaks(1);
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            _ => "• ".to_owned(),
        };
        self.write(&mark);
        self.at_mark = true;
        self.containers.push("  ");
    }

    fn end_code(&mut self) {
        let code = self.code.take().unwrap_or_default();
        let is_plain = |line: &str| !self.has_marks || line.trim().is_empty() || line.contains('`');
        let lines = code.trim_end_matches('\n').split('\n');
        let shown: Vec<_> =
            lines.map(|line| if is_plain(line) { line.to_owned() } else { format!("`{line}`") }).collect();
        self.block(&shown.join("\n"));
    }

    /// Text and target, which is shown unless the text says it already.
    fn end_link(&mut self) {
        let Some((target, begins)) = self.links.pop() else { return };
        let text = self.text.get(begins..).unwrap_or_default().trim();
        let says_it = text == target || target.is_empty();
        match (self.has_marks, says_it) {
            (true, _) => self.write(&format!("]({target})")),
            (false, true) => {}
            (false, false) if text.is_empty() => self.write(&target),
            (false, false) => self.write(&format!(" ({target})")),
        }
    }

    /// Writes a mark of the platform's, where it knows any.
    fn mark(&mut self, mark: &str) {
        if self.has_marks {
            self.write(mark);
        }
    }

    fn block(&mut self, text: &str) {
        self.ask_breaks(2);
        self.write(text);
        self.ask_breaks(2);
    }

    /// Owes at least this many line breaks before the next text.
    fn ask_breaks(&mut self, breaks: usize) {
        if self.at_mark {
            return;
        }
        self.blank_depth = self.blank_depth.min(self.containers.len());
        self.breaks = self.breaks.max(breaks);
    }

    fn write(&mut self, text: &str) {
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.at_mark = false;
                self.breaks += 1;
            }
            if !line.is_empty() {
                self.begin();
                self.text.push_str(line);
            }
        }
    }

    /// Pays the breaks that are owed.
    fn begin(&mut self) {
        self.at_mark = false;
        let prefix = |depth: usize| self.containers.iter().take(depth.min(MAX_DEPTH)).copied().collect::<String>();
        let (blank, full) = (prefix(self.blank_depth), prefix(self.containers.len()));
        if self.text.is_empty() {
            self.text.push_str(&full);
        } else if self.breaks > 0 {
            for _ in 1..self.breaks {
                self.text.push('\n');
                self.text.push_str(blank.trim_end());
            }
            self.text.push('\n');
            self.text.push_str(&full);
        }
        self.breaks = 0;
        self.blank_depth = self.containers.len();
    }
}

const fn hashes(level: HeadingLevel) -> &'static str {
    match level {
        HeadingLevel::H1 => "# ",
        HeadingLevel::H2 => "## ",
        HeadingLevel::H3 => "### ",
        HeadingLevel::H4 => "#### ",
        HeadingLevel::H5 => "##### ",
        HeadingLevel::H6 => "###### ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_reads_well() {
        let table = [
            ("paragraphs", "one\ntwo\n\nthree", "one\ntwo\n\nthree"),
            ("emphasis", "**bold** *italic* ~~gone~~ `code`", "bold italic gone code"),
            ("heading", "# Title\ntext", "Title\n\ntext"),
            ("list", "before\n\n- a\n- b\n  - c\n- d\n\nafter", "before\n\n• a\n• b\n  • c\n• d\n\nafter"),
            ("numbers", "3. a\n4. b", "3. a\n4. b"),
            ("loose list", "- a\n\n- b", "• a\n\n• b"),
            ("tasks", "- [x] done\n- [ ] open", "• ☑ done\n• ☐ open"),
            ("quote", "> a\n> b\n\nc", "> a\n> b\n\nc"),
            (
                "code",
                "see\n\n```rust\nfn main() {\n\n    a();\n}\n```\nend",
                "see\n\nfn main() {\n\n    a();\n}\n\nend",
            ),
            ("link", "[site](https://e.com/a) <https://e.com>", "site (https://e.com/a) https://e.com"),
            ("picture", "![chart](https://e.com/p.png)", "chart (https://e.com/p.png)"),
            ("table", "| a | b |\n|---|---|\n| 1 | 2 |", "a | b\n1 | 2"),
            ("rule", "a\n\n---\n\nb", "a\n\n———\n\nb"),
            ("entity", "a &amp; b &lt;c&gt;", "a & b <c>"),
            ("generics", "use Vec<String> here", "use Vec<String> here"),
            ("hidden link", "<a href=\"https://evil\">bank</a>", "< a href=\"https://evil\">bank</a>"),
            ("hidden link over lines", "`<A\thref='https://evil'>`", "< A\thref='https://evil'>"),
            ("comment alone", "<!-- note -->", "<!-- note -->"),
            ("definition alone", "[a]: https://e.com", "[a]: https://e.com"),
        ];
        for (case, markdown, expected) in table {
            assert_eq!(render(markdown, Dialect::Plain).trim_end(), expected, "{case}");
        }
    }

    #[test]
    fn wecom_gets_the_marks_it_knows() {
        let table = [
            ("kept", "## T\n\n**b** `c` [t](https://e.com)", "## T\n\n**b** `c` [t](https://e.com)"),
            ("italic", "*i*", "i"),
            ("quote", "> a", "> a"),
            ("list", "- a\n- b", "• a\n• b"),
            ("code", "```\nlet x;\n\nlet `y`;\n```", "`let x;`\n\nlet `y`;"),
            ("table", "| a |\n|---|\n| 1 |", "a\n1"),
            ("colour", "<font color=\"info\">ok</font>", "<font color=\"info\">ok</font>"),
        ];
        for (case, markdown, expected) in table {
            assert_eq!(render(markdown, Dialect::WeCom), expected, "{case}");
        }
    }

    #[test]
    fn deep_nesting_stays_small() {
        let text = format!("{} a\n{}", ">".repeat(2000), "lazy\n".repeat(2000));
        assert!(render(&text, Dialect::Plain).len() < text.len() * 4);
    }

    proptest! {
        #![proptest_config(crate::properties(128))]

        #[test]
        fn any_text_renders_to_something(text in any::<String>()) {
            for dialect in [Dialect::Plain, Dialect::WeCom] {
                prop_assert_eq!(render(&text, dialect).trim().is_empty(), text.trim().is_empty());
            }
        }

        #[test]
        fn no_word_is_lost(pieces in proptest::collection::vec((0usize..12, "[a-z]{3,8}"), 1..20)) {
            let marked = |(kind, word): &(usize, String)| match kind {
                0 => format!("\n\n# {word}\n\n"),
                1 => format!("\n- {word}\n"),
                2 => format!("\n  1. {word}\n"),
                3 => format!("\n> {word}\n"),
                4 => format!("\n```\n{word}\n```\n"),
                5 => format!("**{word}**"),
                6 => format!("`{word}`"),
                7 => format!("[{word}](https://e.com)"),
                8 => format!("\n\n| {word} | x |\n|---|---|\n| y | z |\n\n"),
                9 => format!("~~{word}~~"),
                10 => format!("<b>{word}</b>"),
                _ => format!(" {word} "),
            };
            let text: String = pieces.iter().map(marked).collect();
            for dialect in [Dialect::Plain, Dialect::WeCom] {
                let shown = render(&text, dialect);
                let mut rest: &str = &shown;
                for (_, word) in &pieces {
                    let found = rest.find(word.as_str());
                    prop_assert!(found.is_some(), "{word} is missing from {shown:?} of {text:?}");
                    rest = rest.get(found.unwrap() + word.len()..).unwrap();
                }
            }
        }
    }
}
