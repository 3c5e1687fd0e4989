//! What a checked configuration means here: `auto` as on or off, paths from the folder of the file, and what it leaves
//! unanswered.

use super::validate::Kinds;
use super::{Config, Enabled, KindRule, Secret};
use std::path::Path;

/// Turns every `auto` into on or off; each component that is off for want of a credential is a warning.
pub(super) fn auto(config: &mut Config, kinds: &Kinds) -> Vec<String> {
    fn resolve<T>(rules: &[KindRule<T>], kind: &str, section: &T) -> Enabled {
        let rule = rules.iter().find(|rule| rule.name == kind);
        match rule.and_then(|rule| (rule.credential)(section)).map(Secret::is_empty) {
            Some(true) => Enabled::Off,
            _ => Enabled::On,
        }
    }
    let mut warnings = Vec::new();
    for platform in config.platforms.iter_mut().filter(|platform| platform.enabled == Enabled::Auto) {
        platform.enabled = resolve(&kinds.platforms, &platform.kind, platform);
        if !platform.enabled.is_on() {
            warnings.push(format!("platform `{}` is off: its credential is empty", platform.id));
        }
    }
    for provider in config.providers.iter_mut().filter(|provider| provider.enabled == Enabled::Auto) {
        provider.enabled = resolve(&kinds.providers, &provider.kind, provider);
        if !provider.enabled.is_on() {
            warnings.push(format!("provider `{}` is off: its credential is empty", provider.id));
        }
    }
    warnings
}

/// Joins relative paths to the folder of the file.
pub(super) fn paths(config: &mut Config, folder: &Path) {
    let join = |path: &str| folder.join(path).to_string_lossy().into_owned();
    config.storage.data_dir = folder.join(&config.storage.data_dir);
    if let Some(path) = config.storage.url.strip_prefix("sqlite://") {
        config.storage.url = format!("sqlite://{}", join(path));
    }
    for path in config.knowledge.iter_mut().flat_map(|knowledge| &mut knowledge.paths) {
        if !path.starts_with("builtin:") {
            *path = join(path);
        }
    }
}

/// Says what a valid configuration leaves unanswered.
pub(super) fn unanswered(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.active_platforms().next().is_none() {
        warnings.push("no platform is on: nobody can write to this gateway".to_owned());
    }
    if config.assistants.is_empty() {
        warnings.push("there is no assistant: no message gets an answer".to_owned());
    }
    for assistant in &config.assistants {
        if !config.active_providers().any(|provider| assistant.providers.contains(&provider.id)) {
            warnings.push(format!("assistant `{}` cannot answer: none of its providers is on", assistant.id));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{lines, load_text};
    use super::*;

    #[test]
    fn paths_are_relative_to_the_file() {
        let text = "[storage]\ndata_dir = 'd'\n[[knowledge]]\nid = 'k'\npaths = ['docs', '/abs', 'builtin:guide']\n";
        let config = load_text(text).unwrap().config;
        assert_eq!(config.storage.data_dir, Path::new("/etc/mindbot/d"));
        assert_eq!(config.storage.url, "sqlite:///etc/mindbot/data/mindbot.db");
        assert_eq!(config.knowledge[0].paths, ["/etc/mindbot/docs", "/abs", "builtin:guide"]);
    }

    #[test]
    fn what_is_off_needs_no_credential() {
        let entry = |enabled: &str, key: &str| {
            format!("[[providers]]\nid = 'p'\nkind = 'openai'\nenabled = {enabled}\napi_key = '{key}'\n")
        };
        let table = [
            ("auto without", entry("'auto'", ""), Ok(false)),
            ("auto with", entry("'auto'", "k"), Ok(true)),
            ("auto from a variable", entry("'${NO:-auto}'", ""), Ok(false)),
            ("off", entry("false", "k"), Ok(false)),
            ("off, with a variable that is not set", entry("false", "${NO}"), Ok(false)),
            ("on with", entry("true", "k"), Ok(true)),
            ("on without", entry("true", ""), Err("5:11 providers.p.api_key: must not be empty".to_owned())),
        ];
        for (case, text, expected) in table {
            let found = match load_text(&text) {
                Ok(loaded) => Ok(loaded.config.active_providers().count() == 1),
                Err(problems) => Err(lines(Err(problems)).join("\n")),
            };
            assert_eq!(found, expected, "{case}");
        }
    }
}
