//! From a tree to the documented structs: a serde deserializer that says *which* node does not fit, and never its value.

use super::problem::{did_you_mean, listed};
use super::tree::{Node, Value};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error, Expected, IntoDeserializer, Unexpected, Visitor};
use std::fmt;

/// The first node that does not fit, and why.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Misfit {
    /// The node at fault; `None` until the node's deserializer has put its id here.
    pub node: Option<usize>,
    pub why: Why,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Why {
    /// The value is not what the key takes.
    Expected(String),
    /// No such key here.
    UnknownKey { hint: String },
    /// A rule of the type itself.
    Other(String),
}

impl Misfit {
    fn new(why: Why) -> Self {
        Self { node: None, why }
    }

    fn at(mut self, node: usize) -> Self {
        self.node.get_or_insert(node);
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.why)
    }
}

impl std::error::Error for Misfit {}

/// serde hands over what it found as well; that is dropped here, because it may be a secret.
impl Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Why::Other(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Why::Expected(in_words(expected.to_string())))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Why::Expected(in_words(expected.to_string())))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Why::Expected(format!("one of {}", listed(expected.iter().copied()))))
    }
}

/// serde speaks of Rust's types; operators do not.
fn in_words(expected: String) -> String {
    match expected.as_str() {
        "usize" | "u64" => "a whole number, 0 or more".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "i64" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "path string" => "text in quotes".to_owned(),
        "a sequence" => "a list".to_owned(),
        _ => expected,
    }
}

impl<'de> IntoDeserializer<'de, Misfit> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.value {
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(switch) => visitor.visit_bool(*switch),
            Value::Other(what) => Err(Misfit::invalid_type(Unexpected::Other(what), &visitor)),
            Value::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            Value::Table(entries) => {
                visitor.visit_map(MapDeserializer::new(entries.iter().map(|node| (node.label.as_str(), node))))
            }
        }
        .map_err(|misfit| misfit.at(self.id))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    /// Takes a table and nothing else (serde's structs would also take a list), whose keys are all known.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let Value::Table(entries) = &self.value else {
            return Err(Misfit::new(Why::Expected("a table".to_owned())).at(self.id));
        };
        let Some(unknown) = entries.iter().find(|node| !fields.contains(&node.label.as_str())) else {
            return self.deserialize_any(visitor);
        };
        let hint = did_you_mean(&unknown.label, fields.iter().copied())
            .unwrap_or_else(|| format!("the keys here are {}", listed(fields.iter().copied())));
        Err(Misfit::new(Why::UnknownKey { hint }).at(unknown.id))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let word = self.text().filter(|word| variants.contains(word));
        let word = word.ok_or_else(|| Misfit::unknown_variant("", variants).at(self.id))?;
        visitor.visit_enum(word.into_deserializer()).map_err(|misfit: Misfit| misfit.at(self.id))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}
