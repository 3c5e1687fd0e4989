//! Prints `docs/configuration.md` from the doc comments of the structs, so that the page cannot drift from the code.

use std::fmt::Write as _;

/// The structs as they stand in the source.
const SOURCES: [&str; 2] = [include_str!("settings.rs"), include_str!("entries.rs")];

const HEAD: &str = "\
# Configuration

<!-- Printed from the doc comments in src/config by config::docs::render; change it there. -->

MindBot reads `config.toml` in the working directory, or the file given with `--config`. Without a file it runs the
`config.toml` that comes with the source. `mindbot check` names every mistake at once, with line, column and a hint.

- `${NAME}` in a text value is replaced by that environment variable, `${NAME:-default}` by the default when the variable
  is unset or empty; `$${` is a literal `${`. Only values are expanded, once. A number may come from a variable too:
  `agent_id = \"${WECOM_AGENT_ID}\"`.
- `MINDBOT_SERVER__BIND=0.0.0.0:8080` stands above `server.bind` in the file: two underscores between levels. Entries of
  `[[…]]` sections are named by their id, with `_` for `-`: `MINDBOT_PROVIDERS__GPT__API_KEY`. Numbers, booleans and lists
  are written as in TOML.
- `KEY_file = \"path\"` takes the value of `KEY` from a file (at most 64 KiB, trailing newline dropped).
- Durations are written `\"200ms\"`, `\"10s\"`, `\"1m30s\"`, `\"1h\"`, `\"30d\"`; sizes `\"64KiB\"`, `\"1MiB\"`, `\"10MB\"` or a
  number of bytes. Relative paths start at the folder of the configuration file.
- A secret is never printed. Keep it out of comments: the API shows those as they are.
";

/// The sections of the page: heading, struct, example.
const SECTIONS: [(&str, &str, &str); 12] = [
    ("[server]", "Server", "[server]\nbind = \"127.0.0.1:8080\"\ndrain_timeout = \"30s\""),
    ("[storage]", "Storage", "[storage]\nurl = \"sqlite://data/mindbot.db\"\nkeep = \"30d\""),
    ("[security]", "Security", "[security]\ncors_origins = [\"https://intranet.example.com\"]"),
    ("[pipeline]", "Pipeline", "[pipeline]\nturns = 1024\nrate_per_conversation = 30"),
    (
        "[pipeline.replies]",
        "Replies",
        "[pipeline.replies]\nstopped = { zh = \"好，不说了。\", en = \"All right, I stop here.\" }",
    ),
    ("[telemetry]", "Telemetry", "[telemetry]\nlog_level = \"info,mindbot=debug\"\nlog_format = \"json\""),
    ("[[platforms]]", "Platform", "[[platforms]]\nid = \"web\"\nkind = \"web\"\naccess = \"loopback\""),
    (
        "[[providers]]",
        "Provider",
        "[[providers]]\nid = \"gpt\"\nkind = \"openai\"\napi_key = \"${OPENAI_API_KEY:-}\"\nmodels = [\"gpt-4o-mini\"]",
    ),
    (
        "[[assistants]]",
        "Assistant",
        "[[assistants]]\nid = \"helper\"\nproviders = [\"gpt\"]\nknowledge = [\"handbook\"]",
    ),
    ("[[routes]]", "Route", "[[routes]]\nassistant = \"helper\"\npriority = 10"),
    ("`match` of a route", "RouteMatch", "[routes.match]\nplatform = \"web\"\nkeyword = \"hr\""),
    ("[[knowledge]]", "Knowledge", "[[knowledge]]\nid = \"handbook\"\npaths = [\"docs/handbook\"]"),
];

/// One documented struct.
struct Section {
    name: String,
    meaning: String,
    /// Key and meaning.
    keys: Vec<(String, String)>,
}

/// Prints the page.
pub fn render() -> String {
    let documented: Vec<Section> = SOURCES.into_iter().flat_map(scan).collect();
    let mut page = HEAD.to_owned();
    for (heading, name, example) in SECTIONS {
        let Some(section) = documented.iter().find(|section| section.name == name) else { continue };
        // The comment opens with the heading itself; the page has it above already.
        let meaning = section.meaning.split_once(": ").map_or(section.meaning.as_str(), |(_, meaning)| meaning);
        let heading = if heading.starts_with('[') { format!("`{heading}`") } else { heading.to_owned() };
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {heading}\n\n{}\n\n```toml\n{example}\n```\n\n", sentence(meaning));
        page.push_str("| key | meaning |\n|---|---|\n");
        for (key, meaning) in &section.keys {
            let _ = writeln!(page, "| `{key}` | {} |", meaning.replace('|', "\\|"));
        }
    }
    page
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Finds the documented structs of a source file: `///` lines, then `pub struct Name {`, then keys of the same form.
fn scan(source: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let (mut comment, mut renamed) = (String::new(), None);
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push_str(text);
        } else if let Some((_, name)) = line.strip_prefix("#[serde(").and_then(|line| line.split_once("rename = \"")) {
            renamed = name.split('"').next().map(str::to_owned);
        } else if let Some(name) = line.strip_prefix("pub struct ").and_then(|line| line.strip_suffix(" {")) {
            sections.push(Section { name: name.to_owned(), meaning: take(&mut comment), keys: Vec::new() });
        } else if let Some((key, _)) = line.strip_prefix("pub ").and_then(|line| line.split_once(": ")) {
            let key = renamed.take().unwrap_or_else(|| key.to_owned());
            if let Some(section) = sections.last_mut().filter(|_| line.ends_with(',')) {
                section.keys.push((key, take(&mut comment)));
            }
        } else if !line.starts_with("#[") {
            comment.clear();
        }
    }
    sections
}

fn take(comment: &mut String) -> String {
    std::mem::take(comment).trim().to_owned()
}

/// Lists the keys of the single sections and of platforms and providers, as `(section, key)`.
#[cfg(test)]
pub(super) fn keys() -> Vec<(String, String)> {
    let documented: Vec<Section> = SOURCES.into_iter().flat_map(scan).collect();
    let sections = SECTIONS.iter().filter(|(heading, ..)| heading.starts_with('['));
    sections
        .flat_map(|(heading, name, _)| {
            let section = documented.iter().find(|section| section.name == *name);
            let keys = section.map(|section| section.keys.as_slice()).unwrap_or_default();
            keys.iter().map(|(key, _)| (heading.replace(['[', ']'], ""), key.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::load_text;
    use super::*;

    #[test]
    fn every_key_of_every_section_is_documented() {
        let documented: Vec<Section> = SOURCES.into_iter().flat_map(scan).collect();
        for (heading, name, _) in SECTIONS {
            let section = documented.iter().find(|section| section.name == name).unwrap();
            assert!(!section.keys.is_empty() && !section.meaning.is_empty(), "{heading}");
            for (key, meaning) in &section.keys {
                assert!(meaning.ends_with('.'), "{heading} {key}: {meaning}");
            }
        }
    }

    #[test]
    fn the_examples_are_one_valid_configuration() {
        let examples: Vec<&str> = SECTIONS.iter().map(|(_, _, example)| *example).collect();
        load_text(&examples.join("\n")).unwrap();
    }

    /// Keys whose absence is `None`; the code that uses them has the documented default.
    const ELSEWHERE: [&str; 9] = [
        "security.webhook_skew",
        "platforms.api_base",
        "platforms.concurrency",
        "providers.base_url",
        "providers.answer_tokens",
        "providers.connect_timeout",
        "providers.idle_timeout",
        "providers.concurrency",
        "providers.weight",
    ];

    #[test]
    fn documented_defaults_are_the_defaults() {
        let documented: Vec<Section> = SOURCES.into_iter().flat_map(scan).collect();
        let base = "[[platforms]]\nid = 'w'\nkind = 'web'\n[[providers]]\nid = 'p'\nkind = 'local'\n\
                    [[assistants]]\nid = 'a'\nproviders = ['p']\n[[routes]]\nassistant = 'a'\n[[knowledge]]\nid = 'k'\n";
        let default = load_text(base).unwrap();
        let (mut compared, mut elsewhere) = (0, Vec::new());
        for (heading, name, _) in SECTIONS.iter().filter(|(heading, ..)| heading.starts_with('[')) {
            let section = documented.iter().find(|section| section.name == *name).unwrap();
            for (key, meaning) in &section.keys {
                let Some((_, literal)) = meaning.split_once("Default `") else { continue };
                let literal = literal.split('`').next().unwrap();
                let value = if format!("x = {literal}").parse::<toml::Table>().is_ok() {
                    literal.to_owned()
                } else {
                    format!("{literal:?}")
                };
                let text = if heading.starts_with("[[") {
                    base.replace(&format!("{heading}\n"), &format!("{heading}\n{key} = {value}\n"))
                } else {
                    format!("{base}{heading}\n{key} = {value}\n")
                };
                compared += 1;
                if load_text(&text).unwrap_or_else(|problems| panic!("{text}: {problems:?}")) != default {
                    elsewhere.push(format!("{}.{key}", heading.replace(['[', ']'], "")));
                }
            }
        }
        assert_eq!(elsewhere, ELSEWHERE);
        assert!(compared > 40, "only {compared} defaults were found");
    }

    /// `UPDATE_DOCS=1 cargo test config::docs` prints the page anew.
    #[test]
    fn the_page_is_what_the_structs_say() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, render()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(page == render(), "docs/configuration.md is out of date: run UPDATE_DOCS=1 cargo test config::docs");
    }
}
