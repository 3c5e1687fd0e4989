//! Lists by cursor: how many a page holds, where it begins, and what leads to the next one.

use super::error::ApiError;

/// Items of one page when nothing else is asked for.
pub const DEFAULT_LIMIT: i64 = 50;
const MOST: i64 = 200;

/// Items that a page may hold, 1 to 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(usize);

/// One page. `next` is there when more follows.
#[derive(Debug, PartialEq, Eq)]
pub struct Paged<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl Limit {
    /// Reads `limit`; absent means `default`. Refuses what is not 1 to 200.
    pub fn of(limit: Option<i64>, default: i64) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(default);
        let fits = (1..=MOST).contains(&limit).then(|| usize::try_from(limit).ok()).flatten();
        fits.map(Self).ok_or_else(|| ApiError::invalid(format!("`limit` must be 1 to {MOST}")))
    }

    /// Rows to ask the store for: one more than shown tells whether a page follows.
    pub fn rows(self) -> i64 {
        i64::try_from(self.0 + 1).unwrap_or(i64::MAX)
    }

    /// Takes the page's items; `cursor` names the place after an item.
    pub fn page<T>(self, items: impl IntoIterator<Item = T>, cursor: impl Fn(&T) -> String) -> Paged<T> {
        let mut items: Vec<T> = items.into_iter().take(self.0 + 1).collect();
        let has_more = items.len() > self.0;
        items.truncate(self.0);
        let next = items.last().filter(|_| has_more).map(cursor);
        Paged { items, next }
    }
}

/// Reads a cursor that is a message's id.
pub fn id_cursor(cursor: Option<&str>) -> Result<Option<i64>, ApiError> {
    let read = |text: &str| text.parse().ok().filter(|id| *id > 0);
    match cursor.map(read) {
        Some(None) => Err(ApiError::invalid("`cursor` must be the `next` of an earlier page")),
        Some(cursor) => Ok(cursor),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept() {
        let table = [
            (None, Some(50)),
            (Some(1), Some(1)),
            (Some(200), Some(200)),
            (Some(0), None),
            (Some(201), None),
            (Some(-1), None),
        ];
        for (given, expected) in table {
            assert_eq!(Limit::of(given, DEFAULT_LIMIT).ok().map(|limit| limit.0), expected, "{given:?}");
        }
    }

    #[test]
    fn a_page_leads_to_the_next_one_only_when_there_is_one() {
        let limit = Limit::of(Some(2), DEFAULT_LIMIT).unwrap();
        let page = |items: &[i64]| limit.page(items.iter().copied(), i64::to_string);
        assert_eq!(page(&[9, 8, 7]), Paged { items: vec![9, 8], next: Some("8".into()) });
        assert_eq!(page(&[9, 8]), Paged { items: vec![9, 8], next: None });
        assert_eq!(page(&[]), Paged { items: vec![], next: None });
    }

    #[test]
    fn cursors_are_checked() {
        let table = [
            (None, Some(None)),
            (Some("7"), Some(Some(7))),
            (Some("0"), None),
            (Some("-1"), None),
            (Some("x"), None),
            (Some(""), None),
        ];
        for (given, expected) in table {
            assert_eq!(id_cursor(given).ok(), expected, "{given:?}");
        }
    }
}
