//! A TOML document whose every value knows its place, so that a mistake found late still has a line and a column.

use super::Problem;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// Sections written `[[name]]`; their entries are addressed by id.
pub(super) const LISTS: [&str; 5] = ["platforms", "providers", "assistants", "routes", "knowledge"];

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file; both from 1, the column in characters.
    File { line: usize, column: usize },
    /// In this environment variable.
    Variable(Arc<str>),
}

/// What was written. Not `Debug`: it may hold secrets.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// No key takes a date or an integer beyond 64 bits; the word says which it was.
    Other(&'static str),
    List(Vec<Node>),
    Table(Vec<Node>),
}

/// One value under its label: a key in a table, `[0]` (or the entry's id) in a list. The document is the topmost one.
#[derive(Clone)]
pub(super) struct Node {
    /// Unique in a document since the last [`Node::number`].
    pub id: usize,
    pub label: String,
    /// Where the key stands; the place of the value itself for entries of a list.
    pub label_place: Place,
    pub place: Place,
    /// The text came from outside the file, so it may stand for a number, a boolean or a list.
    pub loose: bool,
    pub value: Value,
}

/// Where a path leads in a document.
pub(super) struct Spot {
    pub place: Place,
    /// The key's name, with entries by id.
    pub key: String,
}

/// Joins labels into the name of a key: `providers.gpt.models[0]`.
pub(super) fn join(parent: &str, label: &str) -> String {
    if parent.is_empty() || label.starts_with('[') { format!("{parent}{label}") } else { format!("{parent}.{label}") }
}

impl Node {
    pub fn new(label: &str, place: &Place, value: Value) -> Self {
        Self { id: 0, label: label.to_owned(), label_place: place.clone(), place: place.clone(), loose: false, value }
    }

    /// Parses a document. Broken TOML is one problem, at the place where the parser gave up.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let lines = Lines::new(text);
        let table = DeTable::parse(text).map_err(|error| {
            let place = lines.place(error.span().map_or(0, |span| span.start));
            Problem::new(&place, "", format!("not valid TOML: {}", error.message().replace('\n', " ")), None)
        })?;
        let value = convert(DeValue::Table(table.into_inner()), &|offset| lines.place(offset));
        Ok(Self::new("", &Place::File { line: 1, column: 1 }, value))
    }

    /// Looks up a child of a table by key, or of a list by position.
    pub fn child(&self, step: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(children) => children.iter().find(|child| child.label == step),
            Value::List(children) => children.get(step.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// Lists the children of a table or list; none for a plain value.
    pub fn children_mut(&mut self) -> &mut [Self] {
        match &mut self.value {
            Value::Table(children) | Value::List(children) => children,
            _ => &mut [],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Names what was written, for messages.
    pub fn what(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a decimal number",
            Value::Boolean(_) => "a boolean",
            Value::Other(what) => what,
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// Reads loose text as the TOML value that it spells. False when it spells none, or was read before.
    pub fn reread(&mut self) -> bool {
        let (true, Value::Text(text)) = (std::mem::take(&mut self.loose), &self.value) else { return false };
        let Ok(value) = DeValue::parse(text) else { return false };
        self.value = convert(value.into_inner(), &|_| self.place.clone());
        true
    }

    /// Gives every node of the document a new id, counted from `next`; returns the next free one.
    pub fn number(&mut self, next: usize) -> usize {
        self.id = next;
        self.children_mut().iter_mut().fold(next + 1, |next, child| child.number(next))
    }

    /// Calls the entries of `[[…]]` sections by their ids from now on.
    pub fn name_entries(&mut self) {
        let lists = self.children_mut().iter_mut().filter(|node| LISTS.contains(&node.label.as_str()));
        for entry in lists.flat_map(Self::children_mut) {
            if let Some(id) = entry.child("id").and_then(Self::text).filter(|id| !id.is_empty()) {
                entry.label = id.to_owned();
            }
        }
    }

    /// Follows a path such as `providers.0.api_key`. A key that is not written has the place of what it is missing from.
    pub fn spot(&self, path: &str) -> Spot {
        let mut node = Some(self);
        let mut spot = Spot { place: self.place.clone(), key: String::new() };
        for step in path.split('.') {
            node = node.and_then(|node| node.child(step));
            spot.key = join(&spot.key, node.map_or(step, |node| &node.label));
            if let Some(node) = node {
                spot.place = node.place.clone();
            }
        }
        spot
    }

    pub fn find_mut(&mut self, id: usize) -> Option<&mut Self> {
        if self.id == id {
            return Some(self);
        }
        self.children_mut().iter_mut().find_map(|child| child.find_mut(id))
    }

    /// Takes a node out from below this one, with its key's name as seen from here.
    pub fn take(&mut self, id: usize) -> Option<(String, Self)> {
        let (Value::Table(children) | Value::List(children)) = &mut self.value else { return None };
        if let Some(index) = children.iter().position(|child| child.id == id) {
            let child = children.remove(index);
            return Some((child.label.clone(), child));
        }
        children.iter_mut().find_map(|child| {
            let (key, taken) = child.take(id)?;
            Some((join(&child.label, &key), taken))
        })
    }
}

/// Turns what the parser found into nodes.
fn convert(value: DeValue<'_>, place: &dyn Fn(usize) -> Place) -> Value {
    const TOO_LARGE: Value = Value::Other("a number beyond 64 bits");
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Boolean(switch) => Value::Boolean(switch),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(TOO_LARGE, Value::Integer)
        }
        DeValue::Float(number) => number.as_str().parse().map_or(TOO_LARGE, Value::Float),
        DeValue::Array(items) => {
            let items = items.into_iter().enumerate().map(|(index, item)| {
                let at = place(item.span().start);
                Node::new(&format!("[{index}]"), &at, convert(item.into_inner(), place))
            });
            Value::List(items.collect())
        }
        DeValue::Table(entries) => {
            let entries = entries.into_iter().map(|(key, item)| {
                let at = place(item.span().start);
                let node = Node::new(key.get_ref(), &at, convert(item.into_inner(), place));
                Node { label_place: place(key.span().start), ..node }
            });
            Value::Table(entries.collect())
        }
    }
}

/// Turns byte offsets into lines and columns.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { text, starts: std::iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect() }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or_default();
        // A byte order mark is no character that an editor counts.
        let column = before.chars().filter(|letter| *letter != '\u{feff}').count() + 1;
        Place::File { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_value_knows_its_place() {
        let text = "# 注\n[server]\nbind = \"x\"\n\n[[providers]]\nid = 'gpt'\nmodels = [\"甲\", \"b\"]\n\n\
                    [[providers]]\nid = 'two'\nweight=1\n";
        let mut tree = Node::parse(text).unwrap();
        tree.name_entries();
        let table = [
            ("key of a section", "server.bind", "server.bind", 3, 8),
            ("a section is its header", "server", "server", 2, 1),
            ("entry by position", "providers.0.id", "providers.gpt.id", 6, 6),
            ("second entry", "providers.1.weight", "providers.two.weight", 11, 8),
            ("item of a list, counted in characters", "providers.0.models.1", "providers.gpt.models[1]", 7, 16),
            ("a missing key is at its entry", "providers.1.kind", "providers.two.kind", 9, 1),
            ("a missing section is at the top", "storage.url", "storage.url", 1, 1),
        ];
        for (case, path, key, line, column) in table {
            let spot = tree.spot(path);
            assert_eq!((spot.key.as_str(), spot.place), (key, Place::File { line, column }), "{case}");
        }
    }

    #[test]
    fn broken_toml_is_one_problem_with_a_place() {
        let table = [
            ("unclosed text", "a = 1\nb = \"x\n", 2, 7),
            ("no value", "a =\n", 1, 4),
            ("the same key twice", "a = 1\na = 2\n", 2, 1),
            ("the same section twice", "[server]\n[server]\n", 2, 2),
        ];
        for (case, text, line, column) in table {
            let Err(problem) = Node::parse(text) else { panic!("{case} is refused") };
            assert_eq!((problem.line, problem.column), (line, column), "{case}: {}", problem.message);
        }
    }

    proptest! {
        #[test]
        fn any_offset_has_a_place(text in "[ab\n\r日]{0,30}", offset in 0_usize..100) {
            let Place::File { line, column } = Lines::new(&text).place(offset) else { unreachable!() };
            prop_assert!(line >= 1 && column >= 1);
        }
    }
}
