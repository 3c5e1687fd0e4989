//! `MINDBOT_SERVER__BIND=…`: environment variables that stand above the file.

use super::Problem;
use super::load::Env;
use super::problem::listed;
use super::tree::{LISTS, Node, Place, Value};

/// Puts every override into the tree. One that leads nowhere is a problem here; one that names an unknown key becomes
/// a problem when the structs are read, with the same suggestion as in the file.
pub(super) fn apply(root: &mut Node, env: &Env, problems: &mut Vec<Problem>) {
    for (name, value) in env {
        let Some(levels) = name.strip_prefix("MINDBOT_").filter(|levels| levels.contains("__")) else { continue };
        let place = Place::Variable(name.as_str().into());
        if let Err((message, hint)) = put(root, &levels.to_lowercase(), value, &place) {
            problems.push(Problem::new(&place, &levels.to_lowercase().replace("__", "."), message, Some(hint)));
        }
    }
}

/// Message and hint.
type Refusal = (String, String);

fn put(root: &mut Node, levels: &str, value: &str, place: &Place) -> Result<(), Refusal> {
    let mut fresh = Node::new("", place, Value::Text(value.to_owned()));
    fresh.loose = true;
    match levels.split_once("__") {
        Some((section, rest)) if LISTS.contains(&section) => {
            let (entry, keys) = entry(root, section, rest)?;
            set(entry, keys, fresh)
        }
        _ => set(root, levels, fresh),
    }
}

/// Finds the entry whose id begins `rest`, and what follows it.
fn entry<'t, 'l>(root: &'t mut Node, section: &str, rest: &'l str) -> Result<(&'t mut Node, &'l str), Refusal> {
    let list = root.children_mut().iter_mut().find(|node| node.label == section);
    let entries = list.map(Node::children_mut).unwrap_or_default();
    let names: Vec<String> = entries.iter().filter_map(variable_part).collect();
    let tail = |entry: &Node| rest.strip_prefix(&variable_part(entry)?)?.strip_prefix("__");
    let mut found: Vec<_> = entries.iter_mut().filter_map(|entry| tail(entry).map(|keys| (entry, keys))).collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err((
            format!("more than one entry of `{section}` has this name"),
            "ids that differ only in case, `-` or `_` cannot be told apart here".to_owned(),
        )),
        (None, _) => Err((
            format!("no entry of `{section}` has this name"),
            format!("entries are named by id, with `_` for `-`: {}", listed(names.iter().map(String::as_str))),
        )),
    }
}

/// An entry's id as it is written in a variable's name, in lower case.
fn variable_part(entry: &Node) -> Option<String> {
    let id = entry.child("id")?.text()?;
    (!id.is_empty()).then(|| id.to_lowercase().replace('-', "_"))
}

/// Sets the key that `keys` spells below a table. A value takes the place of its own `_file` twin, and the other way round.
fn set(table: &mut Node, keys: &str, mut fresh: Node) -> Result<(), Refusal> {
    let (key, below) = keys.split_once("__").map_or((keys, None), |(key, below)| (key, Some(below)));
    let Value::Table(children) = &mut table.value else {
        return Err(("leads into a value that is no table".to_owned(), "leave out what follows the key".to_owned()));
    };
    if key.is_empty() {
        let hint = "levels are separated by one `__`, as in MINDBOT_SERVER__BIND";
        return Err(("names no key".to_owned(), hint.to_owned()));
    }
    let Some(below) = below else {
        let twin = key.strip_suffix("_file").map_or_else(|| format!("{key}_file"), str::to_owned);
        children.retain(|child| child.label != key && child.label != twin);
        fresh.label = key.to_owned();
        children.push(fresh);
        return Ok(());
    };
    if let Some(child) = children.iter_mut().find(|child| child.label == key) {
        return set(child, below, fresh);
    }
    let mut created = Node::new(key, &fresh.place, Value::Table(Vec::new()));
    set(&mut created, below, fresh)?;
    children.push(created);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{env, lines, load_with};
    use super::*;
    use crate::config::Source;
    use proptest::prelude::*;
    use std::path::Path;

    #[test]
    fn overrides_stand_above_the_file() {
        let file = "[server]\nworkers = 2\n[[providers]]\nid = 'my-gpt'\nkind = 'openai'\napi_key_file = 'key'\n";
        let config = load_with(
            file,
            &env(&[
                ("MINDBOT_SERVER__WORKERS", "3"),
                ("MINDBOT_SERVER__CHAOS", "true"),
                ("MINDBOT_STORAGE__DATA_DIR", "/d"),
                ("MINDBOT_PROVIDERS__MY_GPT__API_KEY", "${NOT_EXPANDED}"),
                ("MINDBOT_PROVIDERS__MY_GPT__MODELS", "['a', 'b']"),
                ("MINDBOT_PIPELINE__REPLIES__BUSY__EN", "wait"),
                ("MINDBOT_PIPELINE__REPLIES__BUSY__ZH", "等"),
                ("MINDBOT_ADMIN_TOKEN", "no override: a single underscore"),
            ]),
        )
        .unwrap()
        .config;
        assert_eq!((config.server.workers, config.server.chaos), (Some(3), true));
        assert_eq!(config.storage.data_dir, Path::new("/d"));
        assert_eq!(config.providers[0].api_key.expose(), "${NOT_EXPANDED}");
        assert_eq!(config.providers[0].models, ["a", "b"]);
        assert_eq!(config.pipeline.replies.busy.en, "wait");
    }

    #[test]
    fn overrides_that_lead_nowhere() {
        let file = "[[providers]]\nid = 'a-b'\nkind = 'local'\n[[providers]]\nid = 'a_b'\nkind = 'local'\n\
                    [[platforms]]\nid = 'web'\nkind = 'web'\n";
        let table = [
            (
                "unknown key",
                ("MINDBOT_SERVER__BND", "x"),
                "0:0 server.bnd: unknown key (set by MINDBOT_SERVER__BND) | did you mean `bind`?",
            ),
            (
                "unknown section",
                ("MINDBOT_SERVR__BIND", "x"),
                "0:0 servr: unknown key (set by MINDBOT_SERVR__BIND) | did you mean `server`?",
            ),
            (
                "unknown entry",
                ("MINDBOT_PLATFORMS__WEP__KIND", "web"),
                "0:0 platforms.wep.kind: no entry of `platforms` has this name (set by MINDBOT_PLATFORMS__WEP__KIND) \
                 | entries are named by id, with `_` for `-`: `web`",
            ),
            (
                "two entries",
                ("MINDBOT_PROVIDERS__A_B__WEIGHT", "1"),
                "0:0 providers.a_b.weight: more than one entry of `providers` has this name (set by \
                 MINDBOT_PROVIDERS__A_B__WEIGHT) | ids that differ only in case, `-` or `_` cannot be told apart here",
            ),
            (
                "wrong type",
                ("MINDBOT_SERVER__WORKERS", "many"),
                "0:0 server.workers: expected a whole number, 0 or more, found text (set by MINDBOT_SERVER__WORKERS)",
            ),
            (
                "no key",
                ("MINDBOT_SERVER__", "x"),
                "0:0 server.: names no key (set by MINDBOT_SERVER__) \
                 | levels are separated by one `__`, as in MINDBOT_SERVER__BIND",
            ),
            (
                "out of range",
                ("MINDBOT_PIPELINE__TURNS", "0"),
                "0:0 pipeline.turns: must be 1 to 100000 (set by MINDBOT_PIPELINE__TURNS)",
            ),
        ];
        for (case, pair, expected) in table {
            assert_eq!(lines(load_with(file, &env(&[pair]))), [expected], "{case}");
        }
    }

    proptest! {
        #[test]
        fn any_override_is_applied_or_refused(name in "MINDBOT_[A-Z_]{0,30}", value in ".{0,20}") {
            let _ = load_with(&Source::embedded().text, &Env::from([(name, value)]));
        }
    }
}
