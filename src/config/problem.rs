//! One mistake in a configuration, and how a terminal shows a list of them.

use super::tree::Place;
use serde::Serialize;
use std::fmt::Write as _;

/// One mistake, with its place. Never holds a configured value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Line in the file, from 1; 0 when an environment variable is at fault.
    pub line: usize,
    /// Column in characters, from 1; 0 when an environment variable is at fault.
    pub column: usize,
    /// The key at fault, entries by id: `providers.gpt.api_key`. Empty for broken TOML.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn new(place: &Place, key: &str, message: String, hint: Option<String>) -> Self {
        let key = key.to_owned();
        match place {
            Place::File { line, column } => Self { line: *line, column: *column, key, message, hint },
            Place::Variable(name) => {
                Self { line: 0, column: 0, key, message: format!("{message} (set by {name})"), hint }
            }
        }
    }
}

/// Prints one block for each problem, as compilers do: `config.toml:12:3  providers.gpt.api_key: message`, then the hint.
///
/// `path` is the file as the operator named it; `colour` adds ANSI colours.
pub fn report(problems: &[Problem], path: &str, colour: bool) -> String {
    let (bold, cyan, plain) = if colour { ("\x1b[1m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") };
    let mut text = String::new();
    for problem in problems {
        let place = match problem.line {
            0 => "environment".to_owned(),
            line => format!("{path}:{line}:{}", problem.column),
        };
        let subject = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{bold}{place}{plain}  {subject}{}", problem.message);
        if let Some(hint) = &problem.hint {
            let _ = writeln!(text, "  {cyan}hint:{plain} {hint}");
        }
    }
    text
}

/// Finds the candidate that `word` was probably meant to be.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// Lists names as `a`, `b` and `c`, for a hint.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_file_place_key_and_hint() {
        let in_file =
            Problem::new(&Place::File { line: 12, column: 3 }, "providers.gpt.api_key", "is empty".into(), None);
        let hinted = Problem { hint: Some("did you mean `bind`?".into()), ..in_file.clone() };
        let outside = Problem::new(&Place::Variable("MINDBOT_A__B".into()), "a.b", "unknown key".into(), None);
        let syntax = Problem { key: String::new(), ..in_file.clone() };
        let table = [
            ("plain", &in_file, false, "c.toml:12:3  providers.gpt.api_key: is empty\n"),
            ("hint", &hinted, false, "c.toml:12:3  providers.gpt.api_key: is empty\n  hint: did you mean `bind`?\n"),
            ("variable", &outside, false, "environment  a.b: unknown key (set by MINDBOT_A__B)\n"),
            ("no key", &syntax, false, "c.toml:12:3  is empty\n"),
            ("colour", &in_file, true, "\x1b[1mc.toml:12:3\x1b[0m  providers.gpt.api_key: is empty\n"),
        ];
        for (case, problem, colour, expected) in table {
            assert_eq!(report(std::slice::from_ref(problem), "c.toml", colour), expected, "{case}");
        }
    }

    #[test]
    fn suggestions_are_close_or_absent() {
        let known = ["bind", "public_url", "workers", "max_body", "drain_timeout"];
        let table = [
            ("one letter missing", "bnd", Some("bind")),
            ("swapped", "wokrers", Some("workers")),
            ("swapped and short", "bnid", Some("bind")),
            ("capitals", "Bind", Some("bind")),
            ("something else", "zzz", None),
            ("empty", "", None),
        ];
        for (case, word, expected) in table {
            let expected = expected.map(|name| format!("did you mean `{name}`?"));
            assert_eq!(did_you_mean(word, known), expected, "{case}");
        }
    }
}
