//! Hides the secrets of a configuration text, and leaves every other byte as it is.

use std::fmt::Write as _;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What stands in the place of a secret.
pub const MASK: &str = "***";
/// What is shown for a text that cannot be read: which of its bytes are secret is unknown.
const UNREADABLE: &str = "# this text is not valid TOML; it is not shown because its secrets cannot be found\n";

/// Returns the text with the values of secret keys replaced by `"***"`, unless they are written as `${NAME}`.
///
/// Secret are `secret`, `token`, `password`, `api_key`, `encoding_aes_key`, and whatever ends in `_secret`, `_token`,
/// `_key` or `_password`. Comments and layout stay byte for byte, so do not put a secret into a comment.
pub fn masked_text(text: &str) -> String {
    let Ok(table) = DeTable::parse(text) else { return UNREADABLE.to_owned() };
    let mut secrets = Vec::new();
    find_secrets(table.get_ref(), &mut secrets);
    secrets.sort_by_key(|span| span.start);
    let mut masked = String::with_capacity(text.len());
    let mut shown = 0;
    for span in secrets {
        masked.push_str(text.get(shown..span.start).unwrap_or_default());
        let _ = write!(masked, "\"{MASK}\"");
        shown = span.end;
    }
    masked.push_str(text.get(shown..).unwrap_or_default());
    masked
}

fn find_secrets(table: &DeTable<'_>, secrets: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        if is_secret(key.get_ref()) {
            find_plain(value, secrets);
        } else {
            descend(value, secrets);
        }
    }
}

fn descend(value: &Spanned<DeValue<'_>>, secrets: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => find_secrets(table, secrets),
        DeValue::Array(items) => items.iter().for_each(|item| descend(item, secrets)),
        _ => {}
    }
}

/// Takes every plain value at or below a secret key.
fn find_plain(value: &Spanned<DeValue<'_>>, secrets: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => table.iter().for_each(|(_, value)| find_plain(value, secrets)),
        DeValue::Array(items) => items.iter().for_each(|item| find_plain(item, secrets)),
        DeValue::String(text) if text.is_empty() || is_variable(text) => {}
        _ => secrets.push(value.span()),
    }
}

/// Tells whether the value of a key of this name is a secret.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let is = |word: &str| key == word || key.strip_suffix(word).is_some_and(|before| before.ends_with('_'));
    is("secret") || is("token") || is("key") || is("password")
}

/// Tells whether a text is one `${NAME}` or `${NAME:-}`: a default could be a secret itself.
fn is_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let name = name.map(|name| name.strip_suffix(":-").unwrap_or(name));
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_kept() {
        let table = [
            ("a key", "api_key = \"sk-1\" # mine\n", "api_key = \"***\" # mine\n"),
            ("a literal text", "secret='s'", "secret=\"***\""),
            ("several lines", "token = \"\"\"\na\nb\"\"\"\nx = 1", "token = \"***\"\nx = 1"),
            ("no text", "client_secret = 12", "client_secret = \"***\""),
            ("a variable", "token = \"${WECOM_TOKEN}\"", "token = \"${WECOM_TOKEN}\""),
            ("an empty default", "token = \"${WECOM_TOKEN:-}\"", "token = \"${WECOM_TOKEN:-}\""),
            ("a default may be a secret", "token = \"${A:-sk-1}\"", "token = \"***\""),
            ("a variable and more", "token = \"x${A}\"", "token = \"***\""),
            ("empty", "token = \"\"", "token = \"\""),
            ("a file is a path", "api_key_file = \"/run/key\"", "api_key_file = \"/run/key\""),
            (
                "not a secret",
                "tokens = 3\nanswer_tokens = 5\nmonkey = 'x'",
                "tokens = 3\nanswer_tokens = 5\nmonkey = 'x'",
            ),
            ("inline tables and lists", "a = [{ token = 'x' }, { b = 1 }]", "a = [{ token = \"***\" }, { b = 1 }]"),
            ("a list of secrets", "api_key = ['a', '${B}']", "api_key = [\"***\", '${B}']"),
            ("dotted", "a.b.access_token = 'x'", "a.b.access_token = \"***\""),
            ("quoted key", "\"encoding_aes_key\" = 'x'", "\"encoding_aes_key\" = \"***\""),
            ("entries", "[[p]]\nsecret = 'x'\n[[p]]\nsecret = 'y'", "[[p]]\nsecret = \"***\"\n[[p]]\nsecret = \"***\""),
            ("broken", "token = ", UNREADABLE),
        ];
        for (case, text, expected) in table {
            assert_eq!(masked_text(text), expected, "{case}");
        }
    }

    proptest! {
        #[test]
        fn no_secret_stays_in_any_layout(secret in "[A-Za-z0-9]{12,20}", space in "[ \t]{0,3}", comment in "[a-z ]{0,10}") {
            let text = format!("[[providers]]\n{space}api_key{space}={space}'{secret}'{space}# {comment}\nx = 1\n");
            let masked = masked_text(&text);
            prop_assert!(!masked.contains(&secret));
            prop_assert_eq!(masked.replace("\"***\"", &format!("'{secret}'")), text);
        }

        #[test]
        fn any_text_is_masked_without_panic(text in "(?s).{0,200}") {
            let _ = masked_text(&text);
        }
    }
}
