//! What the tests of this room share: kinds that check as the families do, and short ways to load a text.

use super::load::Env;
use super::{KindRule, Kinds, Loaded, Platform, Problem, Provider, Secret, Source, load};
use std::io;
use std::path::Path;

pub fn kinds() -> Kinds {
    let no_platform_credential: fn(&Platform) -> Option<&Secret> = |_| None;
    Kinds {
        platforms: vec![
            KindRule { name: "web", check: |_| Vec::new(), credential: no_platform_credential },
            KindRule {
                name: "wecom",
                check: |it| missing(&[("secret", &it.secret), ("token", &it.token)]),
                credential: |it| Some(&it.secret),
            },
        ],
        providers: vec![
            KindRule {
                name: "openai",
                check: |it: &Provider| missing(&[("api_key", &it.api_key)]),
                credential: |it| Some(&it.api_key),
            },
            KindRule { name: "local", check: |_| Vec::new(), credential: |_| None },
        ],
    }
}

fn missing(secrets: &[(&'static str, &Secret)]) -> Vec<(&'static str, String)> {
    let empty = secrets.iter().filter(|(_, secret)| secret.is_empty());
    empty.map(|(key, _)| (*key, "must not be empty".to_owned())).collect()
}

pub fn env(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads a text as `/etc/mindbot/config.toml`, beside a file `key` that holds a secret and a newline.
pub fn load_with(text: &str, env: &Env) -> Result<Loaded, Vec<Problem>> {
    let source = Source { path: "/etc/mindbot/config.toml".into(), text: text.to_owned() };
    let read = |path: &Path| match path.to_str() {
        Some("/etc/mindbot/key") => Ok("from the file\r\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    load(&source, env, &read, &kinds())
}

pub fn load_text(text: &str) -> Result<Loaded, Vec<Problem>> {
    load_with(text, &Env::new())
}

/// One line for each problem: `line:column key: message | hint`.
pub fn lines(result: Result<Loaded, Vec<Problem>>) -> Vec<String> {
    let line = |it: Problem| {
        let hint = it.hint.map(|hint| format!(" | {hint}")).unwrap_or_default();
        format!("{}:{} {}: {}{hint}", it.line, it.column, it.key, it.message)
    };
    result.err().unwrap_or_default().into_iter().map(line).collect()
}
