//! The way from a text to a checked [`Config`]: every mistake is found before the first one is reported.

use super::de::Why;
use super::mask::{MASK, is_secret};
use super::tree::{LISTS, Node, Value, join};
use super::validate::{Kinds, validate};
use super::{Config, Problem, Secret, interpolate, overrides, resolve};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Environment variables by name.
pub type Env = BTreeMap<String, String>;

/// Reads the file behind a `…_file` key: [`read_secret_file`], or a test's own.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// After this many problems a file is not read any further.
const MAX_PROBLEMS: usize = 100;

/// Sections of the documented format that this version does not have.
const LATER_SECTIONS: [&str; 6] = ["cluster", "mcp", "plugins", "workflows", "classifier", "alerts"];

/// A configuration as text, and the file that relative paths in it refer to.
#[derive(Clone)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    /// Reads a file. Fails as [`std::fs::read_to_string`] does.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), text: std::fs::read_to_string(path)? })
    }

    /// Returns what a start without a file runs: the `config.toml` that is checked in, with paths in the working directory.
    pub fn embedded() -> Self {
        Self { path: PathBuf::from("config.toml"), text: include_str!("../../config.toml").to_owned() }
    }
}

/// A configuration without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// What the operator should know and nobody has to fix; one log line each.
    pub warnings: Vec<String>,
    /// Every secret in it, from wherever it came.
    pub secrets: Vec<Secret>,
}

/// Copies the process environment, leaving out what is not UTF-8.
pub fn environment() -> Env {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Reads the file behind a `…_file` key. Fails when it is unreadable, not UTF-8, or larger than 64 KiB.
pub fn read_secret_file(path: &Path) -> io::Result<String> {
    const LARGEST: u64 = 64 << 10;
    let mut text = String::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other("larger than 64 KiB"));
    }
    Ok(text)
}

/// Turns a text into a configuration, or into every mistake in it, in the order of the file.
///
/// Pure but for `read_file`, which is asked for the files behind `…_file` keys.
/// `enabled = "auto"` comes out as on or off, and relative paths are joined to the folder of the file. Problems never
/// contain a configured value.
pub fn load(source: &Source, env: &Env, read_file: ReadFile<'_>, kinds: &Kinds) -> Result<Loaded, Vec<Problem>> {
    let mut root = Node::parse(&source.text).map_err(|problem| vec![problem])?;
    let folder = source.path.parent().unwrap_or(Path::new(""));
    let mut problems = Vec::new();
    root.name_entries();
    interpolate::apply(&mut root, "", env, &mut problems);
    overrides::apply(&mut root, env, &mut problems);
    root.name_entries();
    refuse_later_sections(&mut root, &mut problems);
    refuse_masks(&mut root, "", &mut problems);
    read_secrets(&mut root, "", &|path| read_file(&folder.join(path)), &mut problems);

    let mut secrets = Vec::new();
    find_secrets(&mut root, &mut secrets);

    // A value with a problem of its own is not judged a second time by the rules.
    let mut judged: BTreeSet<String> = problems.iter().map(|problem| problem.key.clone()).collect();
    let mut config = read_structs(&mut root, &mut problems, &mut judged);
    let mut warnings = resolve::auto(&mut config, kinds);
    for finding in validate(&config, kinds) {
        let spot = root.spot(&finding.path);
        if !judged.contains(&spot.key) {
            problems.push(Problem::new(&spot.place, &spot.key, finding.message, finding.hint));
        }
    }
    if !problems.is_empty() {
        problems.sort_by(|a, b| (a.line, a.column, &a.key).cmp(&(b.line, b.column, &b.key)));
        return Err(problems);
    }
    resolve::paths(&mut config, folder);
    warnings.extend(resolve::unanswered(&config));
    Ok(Loaded { config, warnings, secrets })
}

fn refuse_later_sections(root: &mut Node, problems: &mut Vec<Problem>) {
    let Value::Table(sections) = &mut root.value else { return };
    for section in sections.extract_if(.., |section| LATER_SECTIONS.contains(&section.label.as_str())) {
        let message = "this version does not support this section yet".to_owned();
        problems.push(Problem::new(&section.label_place, &section.label, message, Some("remove it".to_owned())));
    }
}

/// Refuses a text that was shown with its secrets masked and comes back as it is.
fn refuse_masks(node: &mut Node, key: &str, problems: &mut Vec<Problem>) {
    for child in node.children_mut() {
        let key = join(key, &child.label);
        if is_secret(&child.label) && child.text() == Some(MASK) {
            let hint = "write the secret itself, or `${NAME}` and set that variable".to_owned();
            problems.push(Problem::new(&child.place, &key, "is the mask of a secret".to_owned(), Some(hint)));
        } else {
            refuse_masks(child, &key, problems);
        }
    }
}

/// Takes a copy of every secret, by the same rule as the masks.
fn find_secrets(node: &mut Node, secrets: &mut Vec<Secret>) {
    for child in node.children_mut() {
        match child.text().filter(|_| is_secret(&child.label)) {
            Some(secret) => secrets.push(Secret::new(secret)),
            None => find_secrets(child, secrets),
        }
    }
}

/// Replaces every `KEY_file = "path"` by `KEY` with the content of the file, without its trailing newline.
fn read_secrets(node: &mut Node, key: &str, read_file: ReadFile<'_>, problems: &mut Vec<Problem>) {
    let given: BTreeSet<String> = node.children_mut().iter().map(|child| child.label.clone()).collect();
    let (Value::Table(children) | Value::List(children)) = &mut node.value else { return };
    children.retain_mut(|child| {
        let (Some(plain), Some(path)) = (child.label.strip_suffix("_file"), child.text()) else {
            read_secrets(child, &join(key, &child.label), read_file, problems);
            return true;
        };
        let (message, hint) = match read_file(Path::new(path)) {
            _ if given.contains(plain) => ("given twice: here and in a file".to_owned(), "remove one of the two"),
            Ok(content) => {
                let line = content.strip_suffix('\n').unwrap_or(&content);
                let text = line.strip_suffix('\r').unwrap_or(line).to_owned();
                (child.label, child.value) = (plain.to_owned(), Value::Text(text));
                return true;
            }
            Err(error) => (
                format!("the file cannot be read: {error}"),
                "a relative path starts at the folder of the configuration file",
            ),
        };
        problems.push(Problem::new(&child.place, &join(key, plain), message, Some(hint.to_owned())));
        false
    });
}

/// Reads the structs. serde stops at the first node that does not fit, so that node is taken out, and the rest read again.
fn read_structs(root: &mut Node, problems: &mut Vec<Problem>, judged: &mut BTreeSet<String>) -> Config {
    loop {
        root.number(0);
        let misfit = match Config::deserialize(&*root) {
            Ok(config) => return config,
            Err(misfit) => misfit,
        };
        let node = misfit.node.unwrap_or_default();
        if !matches!(misfit.why, Why::UnknownKey { .. }) && root.find_mut(node).is_some_and(Node::reread) {
            continue;
        }
        let document = Node::new("", &root.place, Value::Table(Vec::new()));
        let (key, taken) = root.take(node).unwrap_or_else(|| (String::new(), std::mem::replace(root, document)));
        let (place, message, hint) = match misfit.why {
            Why::UnknownKey { hint } => (&taken.label_place, "unknown key".to_owned(), Some(hint)),
            Why::Expected(what) => {
                (&taken.place, format!("expected {what}, found {}", taken.what()), brackets(&key, &taken))
            }
            Why::Other(message) => (&taken.place, message, None),
        };
        if judged.insert(key.clone()) {
            problems.push(Problem::new(place, &key, message, hint));
        }
        if problems.len() >= MAX_PROBLEMS {
            return Config::default();
        }
    }
}

/// Tells `[name]` and `[[name]]` apart for whoever mixed them up.
fn brackets(key: &str, found: &Node) -> Option<String> {
    match found.value {
        Value::Table(_) if LISTS.contains(&key) => Some(format!("write [[{key}]], with two brackets on each side")),
        Value::List(_) if !key.contains(['.', '[']) => Some(format!("write [{key}], with one bracket on each side")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{env, lines, load_text, load_with};
    use super::super::{Access, LogFormat, docs};
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn loads(text: &str, env: &Env) -> Config {
        load_with(text, env).unwrap().config
    }

    #[test]
    fn the_embedded_configuration_answers_without_a_key_and_with_one() {
        let load = |env: &Env| load_with(&Source::embedded().text, env).unwrap();
        let loaded = load(&Env::new());
        assert_eq!(loaded.warnings, ["provider `gpt` is off: its credential is empty"]);
        let on: Vec<_> = loaded.config.active_providers().map(|provider| provider.id.as_str()).collect();
        assert_eq!(on, ["guide"]);
        assert_eq!(loaded.config.knowledge[0].paths, ["builtin:guide"]);

        let loaded = load(&env(&[("OPENAI_API_KEY", "sk-1"), ("OPENAI_MODEL", "m")]));
        assert_eq!(loaded.warnings, Vec::<String>::new());
        let gpt = &loaded.config.providers[0];
        assert_eq!((gpt.api_key.expose(), gpt.models.as_slice()), ("sk-1", &["m".to_owned()][..]));
        assert_eq!(gpt.base_url.as_ref().unwrap().as_str(), "https://api.openai.com/v1");
        assert!(Source::embedded().text.lines().count() <= 40);
    }

    #[test]
    fn values_are_read_as_written() {
        let config = loads(
            "[server]\nmax_body = '2MiB'\ndrain_timeout = '1m30s'\ntrusted_proxies = ['10.0.0.1', '192.168.0.0/16']\n\
             [telemetry]\nlog_format = 'json'\n[[platforms]]\nid = 'web'\nkind = 'web'\naccess = 'token'\n\
             [[assistants]]\nid = 'a'\nproviders = ['p']\ntemperature = 1\n[[providers]]\nid = 'p'\nkind = 'local'\n",
            &Env::new(),
        );
        assert_eq!(config.server.max_body, 2 << 20);
        assert_eq!(config.server.drain_timeout, Duration::from_secs(90));
        let proxies: Vec<_> = config.server.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(proxies, ["10.0.0.1/32", "192.168.0.0/16"]);
        assert_eq!(config.telemetry.log_format, LogFormat::Json);
        assert_eq!(config.platforms[0].access, Access::Token);
        assert_eq!(config.assistants[0].temperature, Some(1.0));
    }

    #[test]
    fn every_mistake_is_reported_at_its_place() {
        let table: [(&str, &str, &[&str]); 14] = [
            ("unknown key", "[server]\n  bnd = 'x'", &["2:3 server.bnd: unknown key | did you mean `bind`?"]),
            ("unknown section", "[servr]\nbind = 'x'", &["1:2 servr: unknown key | did you mean `server`?"]),
            (
                "section of a later version",
                "[cluster]\nnode_id = 'a'",
                &["1:2 cluster: this version does not support this section yet | remove it"],
            ),
            (
                "wrong type",
                "[server]\nworkers = 'x'",
                &["2:11 server.workers: expected a whole number, 0 or more, found text"],
            ),
            (
                "negative",
                "[server]\nworkers = -1",
                &["2:11 server.workers: expected a whole number, 0 or more, found a whole number"],
            ),
            (
                "a number for text",
                "[server]\nbind = 80",
                &["2:8 server.bind: expected text in quotes, found a whole number"],
            ),
            ("a date", "[server]\nbind = 2020-01-01", &["2:8 server.bind: expected text in quotes, found a date"]),
            (
                "single brackets",
                "[platforms]\nid = 'w'",
                &[
                    "1:1 platforms: expected a list, found a table | write [[platforms]], with two brackets on each side",
                ],
            ),
            (
                "double brackets",
                "[[server]]\nbind = 'x'",
                &["1:1 server: expected a table, found a list | write [server], with one bracket on each side"],
            ),
            (
                "item of a list",
                "[server]\ntrusted_proxies = ['10.0.0.0/8', 'x']",
                &["2:34 server.trusted_proxies[1]: expected an address or network such as \"10.0.0.0/8\", found text"],
            ),
            (
                "one of several words",
                "[telemetry]\nlog_format = 'xml'",
                &["2:14 telemetry.log_format: expected one of `auto`, `text` and `json`, found text"],
            ),
            (
                "variable",
                "[server]\nbind = '${NO}'",
                &[
                    "2:8 server.bind: the environment variable NO is not set | set it, or write `${NO:-}` if it may be empty",
                ],
            ),
            (
                "file",
                "[[platforms]]\nid = 'w'\nkind = 'web'\naccess_token_file = 'gone'",
                &[
                    "4:21 platforms.w.access_token: the file cannot be read: entity not found | a relative path starts at the folder of the configuration file",
                ],
            ),
            (
                "all at once, in the order of the file",
                "[server]\nchaos = 1\nmax_body = 'big'\n[pipeline]\nturns = 0\n[[routes]]\nassistant = 'x'\nmach = {}",
                &[
                    "2:9 server.chaos: expected true or false, found a whole number",
                    "3:12 server.max_body: expected a size such as \"64KiB\", \"1MiB\", \"10MB\" or a number of bytes, found text",
                    "5:9 pipeline.turns: must be 1 to 100000",
                    "7:13 routes[0].assistant: there is no such assistant | there are none",
                    "8:1 routes[0].mach: unknown key | did you mean `match`?",
                ],
            ),
        ];
        for (case, text, expected) in table {
            assert_eq!(lines(load_text(text)), expected, "{case}");
        }
    }

    #[test]
    fn secrets_come_from_files_and_numbers_from_variables() {
        let text = "[[platforms]]\nid = 'wecom'\nkind = 'wecom'\nagent_id = '${AGENT}'\nsecret_file = '${NAME}'\ntoken = 't'\n";
        let config = loads(text, &env(&[("AGENT", "1000002"), ("NAME", "key")]));
        assert_eq!(config.platforms[0].agent_id, 1_000_002);
        assert_eq!(config.platforms[0].secret.expose(), "from the file");
        let twice = "[[platforms]]\nid = 'w'\nkind = 'web'\naccess_token = 'a'\naccess_token_file = 'key'\n";
        assert_eq!(
            lines(load_text(twice)),
            ["5:21 platforms.w.access_token: given twice: here and in a file | remove one of the two"]
        );
    }

    #[test]
    fn a_masked_text_is_not_taken_for_the_secrets_it_hides() {
        let shown =
            crate::config::masked_text("[[platforms]]\nid = 'w'\nkind = 'web'\naccess_token = '0123456789abcdef'\n");
        let hint = "write the secret itself, or `${NAME}` and set that variable";
        assert_eq!(
            lines(load_text(&shown)),
            [format!("4:16 platforms.w.access_token: is the mask of a secret | {hint}")]
        );
    }

    #[test]
    fn secret_files_are_read_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "x".repeat(64 << 10)).unwrap();
        assert_eq!(read_secret_file(&path).unwrap().len(), 64 << 10);
        std::fs::write(&path, "x".repeat((64 << 10) + 1)).unwrap();
        assert_eq!(read_secret_file(&path).unwrap_err().to_string(), "larger than 64 KiB");
    }

    #[test]
    fn an_endless_list_of_mistakes_ends() {
        let text: String = (0..1000).map(|index| format!("unknown_{index} = 1\n")).collect();
        assert_eq!(load_text(&text).unwrap_err().len(), MAX_PROBLEMS);
    }

    #[test]
    fn no_problem_and_no_debug_output_shows_a_secret() {
        let head = "[[platforms]]\nid = 'w'\nkind = 'web'\n[[providers]]\nid = 'p'\nkind = 'local'\n";
        let secrets = ["access_token", "secret", "token", "encoding_aes_key", "api_key"];
        let mut seen = 0;
        for (section, key) in docs::keys().into_iter().filter(|(_, key)| key != "id") {
            let path = match section.as_str() {
                "platforms" => "platforms.w".to_owned(),
                "providers" => "providers.p".to_owned(),
                other => other.to_owned(),
            };
            for value in ["canary", "918273", "['canary']", "{ x = 'canary' }", "9182.73", "https://canary:918273@h"] {
                let name = format!("MINDBOT_{}__{key}", path.replace('.', "__")).to_uppercase();
                let shown = match load_with(head, &env(&[(&name, value)])) {
                    Ok(loaded) if secrets.contains(&key.as_str()) => format!("{loaded:?}"),
                    Ok(_) => continue,
                    Err(problems) => format!("{problems:?}{}", super::super::report(&problems, "c", true)),
                };
                seen += 1;
                assert!(!shown.contains("canary") && !shown.contains("918273"), "{name}={value}: {shown}");
            }
        }
        assert!(seen > 100, "only {seen} cases had something to show");
    }

    proptest! {
        #[test]
        fn any_text_loads_or_is_refused(text in "(?s).{0,200}") {
            let _ = load_text(&text);
        }

        #[test]
        fn any_damage_to_a_good_file_is_survived(at in 0_usize..1000, junk in "[\\[\\]{}=\"'$\n.a1#]{0,6}") {
            let mut text = Source::embedded().text;
            let at = at.min(text.len());
            if text.is_char_boundary(at) {
                text.insert_str(at, &junk);
            }
            if let Err(problems) = load_text(&text) {
                prop_assert!(!problems.is_empty());
                prop_assert!(problems.iter().all(|problem| problem.line >= 1 && problem.column >= 1));
            }
        }
    }
}
