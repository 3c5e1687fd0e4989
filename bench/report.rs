//! Measured values beside their bars: on the terminal, and in `bench/results.json`.

use crate::process;
use serde::Serialize;
use std::fmt;

/// What a value is held against.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// Shown beside the others, held against nothing.
    None,
}

/// One number of a row.
#[derive(Debug, Clone, Serialize)]
pub struct Value {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    pub bar: Bar,
}

impl Value {
    fn is_reached(&self) -> bool {
        match self.bar {
            Bar::AtMost(bar) => self.value <= bar,
            Bar::AtLeast(bar) => self.value >= bar,
            Bar::None => true,
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub row: &'static str,
    pub what: String,
    pub values: Vec<Value>,
    /// How it was measured, where the title does not say it.
    pub notes: Vec<String>,
}

impl Row {
    pub fn new(row: &'static str, what: impl Into<String>) -> Self {
        Self { row, what: what.into(), values: Vec::new(), notes: Vec::new() }
    }

    pub fn value(mut self, name: impl Into<String>, value: f64, unit: &'static str, bar: Bar) -> Self {
        self.values.push(Value { name: name.into(), value, unit, bar });
        self
    }

    /// A promise that is kept or not: 0 is kept.
    pub fn none_of(self, name: impl Into<String>, count: usize) -> Self {
        self.value(name, count as f64, "", Bar::AtMost(0.0))
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub fn is_reached(&self) -> bool {
        self.values.iter().all(Value::is_reached)
    }
}

/// A number with as many digits as it deserves.
fn number(value: f64) -> String {
    match value {
        value if value.fract() == 0.0 || value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value)).trim_end().to_owned()
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.row, self.what)?;
        for value in &self.values {
            let bar = match value.bar {
                Bar::AtMost(bar) => format!("≤ {}", with_unit(bar, value.unit)),
                Bar::AtLeast(bar) => format!("≥ {}", with_unit(bar, value.unit)),
                Bar::None => String::new(),
            };
            let verdict = match (value.bar, value.is_reached()) {
                (Bar::None, _) => "",
                (_, true) => "ok",
                (_, false) => "MISSED",
            };
            let measured = with_unit(value.value, value.unit);
            writeln!(f, "  {:<52} {measured:>16}  {bar:<16} {verdict}", value.name)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  ({note})"))
    }
}

pub fn print(rows: &[Row]) {
    println!("{}", process::machine());
    rows.iter().for_each(|row| println!("{row}"));
    let missed = rows.iter().filter(|row| !row.is_reached()).map(|row| row.row).collect::<Vec<_>>();
    match missed.as_slice() {
        [] => println!("every bar is reached"),
        missed => println!("missed: {}", missed.join(", ")),
    }
}

/// Writes `bench/results.json`; rows that were not measured this time keep what they had.
pub fn write(rows: &[Row], quick: bool) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/results.json");
    let at = format!("{:.0}", jiff::Timestamp::now());
    let machine = process::machine();
    let old: serde_json::Value =
        std::fs::read(path).ok().and_then(|old| serde_json::from_slice(&old).ok()).unwrap_or_default();
    let mut kept: Vec<serde_json::Value> = old["rows"].as_array().cloned().unwrap_or_default();
    for row in rows {
        let mut entry = serde_json::to_value(row).unwrap();
        entry["reached"] = row.is_reached().into();
        entry["measured_at"] = at.clone().into();
        entry["machine"] = machine.clone().into();
        entry["quick"] = quick.into();
        let what = entry["what"].clone();
        match kept.iter_mut().find(|old| old["what"] == what) {
            Some(old) => *old = entry,
            None => kept.push(entry),
        }
    }
    let place = |entry: &serde_json::Value| crate::rows::ALL.iter().position(|(name, _)| entry["row"] == *name);
    kept.sort_by_key(place);
    let text = serde_json::to_string_pretty(&serde_json::json!({ "rows": kept })).unwrap();
    std::fs::write(path, text + "\n").unwrap();
}
