//! The map of the house is true: imports point one way, files stay small and open with what they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rooms, lowest first: one imports from the rows above its own, never from its own row or below.
const ROOMS: &[&[&str]] = &[
    &["domain", "sabotage"],
    &["config", "supervise", "egress"],
    &["telemetry", "store"],
    &["platforms", "providers", "knowledge"],
    &["directory", "simulate"],
    &["components", "pipeline"],
    &["dispatch", "reload"],
    &["upkeep", "http"],
    &["boot", "cards"],
    &["shutdown"],
    &["cli"],
    &["main"],
];

/// What points the other way, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("store", "platforms", "a part in the outbox is a platform's `OutPart`, settled by its `UnknownRule`"),
    ("providers", "knowledge", "a prompt carries `Passage`s"),
];

/// Lines before the unit tests.
const LONGEST: usize = 500;

/// The one third folder level: every SQL dialect has a folder of its own.
const DEEP: &str = "src/store/sql/sqlite";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, with its path from the root of the repository.
fn files(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.len() > 5, "nothing to read below {folder}");
    found
}

/// What comes before the unit tests of a file; nothing for a file that is one.
fn product(name: &str, text: &str) -> String {
    let file = name.rsplit('/').next().unwrap();
    if file.starts_with("test") || matches!(file, "fixtures.rs" | "golden.rs") {
        return String::new();
    }
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].to_owned()
}

fn room_of(name: &str) -> &str {
    let inside = name.strip_prefix("src/").unwrap();
    inside.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Rooms that a text names as `crate::room`, also inside `use crate::{…}`.
fn named(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let after = &code[at + "crate::".len()..];
        match after.strip_prefix('{') {
            Some(list) => {
                let list = &list[..list.find(';').unwrap()];
                let mut depth = 0;
                let mut begins = true;
                for (at, c) in list.char_indices() {
                    if begins && depth == 0 && c.is_alphabetic() {
                        rooms.push(word(&list[at..]));
                        begins = false;
                    }
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => begins = true,
                        _ => {}
                    }
                }
            }
            None => rooms.push(word(after)),
        }
    }
    rooms
}

/// Imports that point the wrong way, as `file: room → room`.
fn wrong_ways(files: &[(String, String)]) -> Vec<String> {
    let floor: BTreeMap<&str, usize> =
        ROOMS.iter().enumerate().flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, floor))).collect();
    let mut wrong = Vec::new();
    for (name, text) in files {
        let here = room_of(name);
        if here == "lib" {
            continue;
        }
        let own = *floor.get(here).unwrap_or_else(|| panic!("{name}: the room `{here}` has no place in the order"));
        for there in named(&product(name, text)) {
            let is_excepted = EXCEPTIONS.iter().any(|(from, to, _)| *from == here && *to == there);
            match floor.get(there.as_str()) {
                Some(other) if there == here || *other < own || is_excepted => {}
                Some(_) => wrong.push(format!("{name}: {here} → {there}")),
                None => wrong.push(format!("{name}: `{there}` is no room")),
            }
        }
    }
    wrong
}

#[test]
fn imports_point_one_way() {
    let files = files("src");
    assert_eq!(wrong_ways(&files), Vec::<String>::new());
    // Every exception is still needed, so the list cannot rot.
    for (from, to, why) in EXCEPTIONS {
        let uses = files
            .iter()
            .filter(|(name, _)| room_of(name) == *from)
            .any(|(name, text)| named(&product(name, text)).iter().any(|there| there == to));
        assert!(uses, "nothing in `{from}` names `{to}` any more ({why}): take the exception out");
    }
}

#[test]
fn an_import_that_points_the_wrong_way_is_found() {
    let table = [
        ("plain", "use crate::http::health;\n", 1),
        ("in a list", "use crate::{\n    domain::Mark,\n    cli::{self, Cli},\n    http,\n};\n", 2),
        ("in passing", "fn f() { crate::boot::boot() }\n", 1),
        ("downwards", "use crate::{domain, supervise};\n", 0),
        ("in a comment", "// crate::http is above\n", 0),
        ("in a test", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::http;\n}\n", 0),
        ("unknown", "use crate::messages::All;\n", 1),
    ];
    for (case, text, count) in table {
        let found = wrong_ways(&[("src/dispatch/mod.rs".to_owned(), text.to_owned())]);
        assert_eq!(found.len(), count, "{case}: {found:?}");
    }
}

#[test]
fn files_are_small_and_say_what_they_are() {
    let mut all = files("src");
    all.extend(files("tests"));
    let mut wrong = Vec::new();
    for (name, text) in &all {
        let lines = product(name, text).lines().count();
        if lines > LONGEST {
            wrong.push(format!("{name}: {lines} lines before the unit tests; split it by responsibility"));
        }
        let head = text.lines().take_while(|line| line.starts_with("//!")).count();
        if head == 0 || head > 8 {
            wrong.push(format!("{name}: opens with {head} lines of `//!` instead of one to eight"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn there_is_no_third_folder_level() {
    let too_deep = files("src").into_iter().map(|(name, _)| name);
    let too_deep: Vec<_> = too_deep.filter(|name| name.matches('/').count() > 3 && !name.starts_with(DEEP)).collect();
    assert_eq!(too_deep, Vec::<String>::new());
}
