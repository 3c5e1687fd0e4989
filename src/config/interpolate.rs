//! `${NAME}` and `${NAME:-default}` in the text values of a tree: after parsing, once, and nowhere else.

use super::Problem;
use super::load::Env;
use super::tree::{Node, Value, join};

/// Fills in every text below `node`, whose own key is `key`.
///
/// A variable that is not set is a problem, except beside `enabled = false`: nothing there is used, and the value is
/// left out.
pub(super) fn apply(node: &mut Node, key: &str, env: &Env, problems: &mut Vec<Problem>) {
    let off = matches!(node.child("enabled").map(|switch| &switch.value), Some(Value::Boolean(false)));
    let before = problems.len();
    let (Value::Table(children) | Value::List(children)) = &mut node.value else { return };
    children.retain_mut(|child| {
        let key = join(key, &child.label);
        apply(child, &key, env, problems);
        fill(child, &key, env, problems) || !off
    });
    if off {
        problems.truncate(before);
    }
}

/// Fills in one value; false when something was wrong with it.
fn fill(node: &mut Node, key: &str, env: &Env, problems: &mut Vec<Problem>) -> bool {
    let Some(text) = node.text().filter(|text| text.contains("${")) else { return true };
    let (filled, mistakes) = expand(text, |name| env.get(name).map(String::as_str));
    let good = mistakes.is_empty();
    node.value = Value::Text(filled);
    node.loose = true;
    problems.extend(mistakes.into_iter().map(|(message, hint)| Problem::new(&node.place, key, message, Some(hint))));
    good
}

/// Expands one text. Also returns what is wrong with it: message and hint each; a place that is wrong becomes empty.
///
/// `${NAME:-default}` takes the default when the variable is unset or empty, as shells do. `$${` is a literal `${`.
fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> (String, Vec<(String, String)>) {
    let mut filled = String::with_capacity(text.len());
    let mut mistakes = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, from_dollar) = rest.split_at(dollar);
        filled.push_str(before);
        if let Some(after) = from_dollar.strip_prefix("$${") {
            filled.push_str("${");
            rest = after;
        } else if let Some(after) = from_dollar.strip_prefix("${") {
            let Some((inside, after)) = after.split_once('}') else {
                mistakes.push(("`${` without `}`".to_owned(), "a literal `${` is written `$${`".to_owned()));
                return (filled, mistakes);
            };
            match resolve(inside, &lookup) {
                Ok(value) => filled.push_str(value),
                Err(mistake) => mistakes.push(mistake),
            }
            rest = after;
        } else {
            filled.push('$');
            rest = from_dollar.get(1..).unwrap_or_default();
        }
    }
    filled.push_str(rest);
    (filled, mistakes)
}

/// Resolves what stands between the braces.
fn resolve<'t, 'a: 't>(inside: &'t str, lookup: impl Fn(&str) -> Option<&'a str>) -> Result<&'t str, (String, String)> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let first = name.chars().next();
    let well_formed = first.is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if !well_formed {
        let hint = "write `${NAME}` or `${NAME:-default}`, and a literal `${` as `$${`";
        return Err(("`${…}` does not name a variable".to_owned(), hint.to_owned()));
    }
    match (lookup(name), default) {
        (Some(""), Some(default)) | (None, Some(default)) => Ok(default),
        (Some(value), _) => Ok(value),
        (None, None) => Err((
            format!("the environment variable {name} is not set"),
            format!("set it, or write `${{{name}:-}}` if it may be empty"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<&'static str> {
        match name {
            "A" => Some("alpha"),
            "EMPTY" => Some(""),
            "TRICKY" => Some("${A}"),
            _ => None,
        }
    }

    #[test]
    fn expansion() {
        let table = [
            ("plain text", "no variable", "no variable", 0),
            ("one variable", "x${A}y", "xalphay", 0),
            ("two variables", "${A}${A}", "alphaalpha", 0),
            ("default when unset", "${NO:-d e/f}", "d e/f", 0),
            ("default when empty", "${EMPTY:-d}", "d", 0),
            ("empty default", "${NO:-}", "", 0),
            ("set but empty", "[${EMPTY}]", "[]", 0),
            ("what is put in is not expanded", "${TRICKY}", "${A}", 0),
            ("escape", "$${A}", "${A}", 0),
            ("dollars alone", "5$ $$ $A", "5$ $$ $A", 0),
            ("text beyond ASCII", "价格${A}元", "价格alpha元", 0),
            ("unset", "a${NO}b${NO2}", "ab", 2),
            ("unclosed", "a${A", "a", 1),
            ("no name", "${}", "", 1),
            ("bad name", "${A B}", "", 1),
            ("a default is not expanded either", "${NO:-${A}", "${A", 0),
        ];
        for (case, text, expected, mistakes) in table {
            let (filled, found) = expand(text, lookup);
            assert_eq!((filled.as_str(), found.len()), (expected, mistakes), "{case}");
        }
    }

    proptest! {
        #[test]
        fn text_without_a_brace_stays(text in "[^{]{0,60}") {
            prop_assert_eq!(expand(&text, lookup), (text, Vec::new()));
        }

        #[test]
        fn any_text_expands_without_panic(text in "([$]|[{]|[}]|:-|A|NO|日|.){0,40}") {
            let _ = expand(&text, lookup);
        }

        #[test]
        fn a_value_goes_in_unchanged(value in ".{1,40}", around in "[a-z]{0,5}") {
            let (filled, mistakes) = expand(&format!("{around}${{V}}{around}"), |_| Some(&value));
            prop_assert_eq!((filled, mistakes.len()), (format!("{around}{value}{around}"), 0));
        }
    }
}
