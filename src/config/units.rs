//! How one value is written: durations, sizes, switches, addresses. Each reader says what it expects.

use super::Enabled;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, de};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use url::Url;

/// Reads `"10s"`, `"200ms"`, `"1m30s"`, `"1h"`, `"30d"`. A day is 24 hours; months and signs are refused.
fn parse_duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.trim().parse().ok()?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

/// Reads `"1MiB"`, `"64KiB"`, `"10MB"`, `"123"`: bytes, in steps of 1024 with an `i`, else of 1000.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn parse_enabled(text: &str) -> Option<Enabled> {
    match text {
        "true" => Some(Enabled::On),
        "false" => Some(Enabled::Off),
        "auto" => Some(Enabled::Auto),
        _ => None,
    }
}

/// Refuses a user and password in the URL: they would show up wherever the URL is printed.
fn parse_url(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim()).ok()?;
    let plain = url.username().is_empty() && url.password().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then_some(url)
}

fn parse_network(text: &str) -> Option<ipnet::IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(ipnet::IpNet::from))
}

/// Reads a value from its written form. Numbers and booleans are read as they are written.
struct Written<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Other("text"), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: Error>(self, switch: bool) -> Result<T, E> {
        self.visit_str(if switch { "true" } else { "false" })
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_any(Written {
        expected: "a duration such as \"200ms\", \"10s\", \"1m30s\" or \"30d\"",
        parse: parse_duration,
    })
}

pub(super) fn maybe_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

pub(super) fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_any(Written {
        expected: "a size such as \"64KiB\", \"1MiB\", \"10MB\" or a number of bytes",
        parse: parse_size,
    })
}

pub(super) fn enabled<'de, D: Deserializer<'de>>(from: D) -> Result<Enabled, D::Error> {
    from.deserialize_any(Written { expected: "true, false or \"auto\"", parse: parse_enabled })
}

pub(super) fn maybe_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    let expected = "an http or https address without user and password, such as \"https://bot.example.com\"";
    from.deserialize_any(Written { expected, parse: parse_url }).map(Some)
}

pub(super) fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ipnet::IpNet>, D::Error> {
    struct Network(ipnet::IpNet);

    impl<'de> Deserialize<'de> for Network {
        fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let expected = "an address or network such as \"10.0.0.0/8\"";
            from.deserialize_any(Written { expected, parse: parse_network }).map(Self)
        }
    }

    Ok(Vec::<Network>::deserialize(from)?.into_iter().map(|network| network.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        let table = [
            ("milliseconds", "200ms", Some(200)),
            ("seconds", "10s", Some(10_000)),
            ("mixed", "1m30s", Some(90_000)),
            ("hours", "1h", Some(3_600_000)),
            ("days", "30d", Some(30 * 86_400_000)),
            ("zero", "0s", Some(0)),
            ("no unit", "10", None),
            ("negative", "-10s", None),
            ("months have no length", "1mo", None),
            ("empty", "", None),
            ("too large", "99999999999999999999s", None),
        ];
        for (case, text, millis) in table {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{case}");
        }
    }

    #[test]
    fn sizes() {
        let table = [
            ("bytes", "123", Some(123)),
            ("KiB", "64KiB", Some(65_536)),
            ("MiB with a space", "1 MiB", Some(1_048_576)),
            ("MB", "10MB", Some(10_000_000)),
            ("GiB", "2GiB", Some(2_147_483_648)),
            ("unknown unit", "1XB", None),
            ("negative", "-1", None),
            ("empty", "", None),
            ("overflow", "99999999999GiB", None),
        ];
        for (case, text, bytes) in table {
            assert_eq!(parse_size(text), bytes, "{case}");
        }
    }

    #[test]
    fn addresses() {
        let table = [
            ("https", "https://bot.example.com/v1", true),
            ("loopback http", "http://127.0.0.1:9000", true),
            ("no scheme", "bot.example.com", false),
            ("another scheme", "ftp://bot.example.com", false),
            ("with a password", "https://me:secret@bot.example.com", false),
            ("empty", "", false),
        ];
        for (case, text, good) in table {
            assert_eq!(parse_url(text).is_some(), good, "{case}");
        }
        assert_eq!(parse_network("10.0.0.0/8"), "10.0.0.0/8".parse().ok());
        assert_eq!(parse_network("127.0.0.1"), "127.0.0.1/32".parse().ok());
        assert_eq!(parse_network("ten"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_none(text in ".{0,40}") {
            let _ = (parse_duration(&text), parse_size(&text), parse_url(&text), parse_network(&text));
        }
    }
}
