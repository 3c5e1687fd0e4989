//! Cards: what people need to know about each kind of actor, beside its code. `actors.md` is made from them.

use actix::{Actor, Handler, Message};

/// One kind of actor, for `actors.md`. Supervisor, policy and permits are read from the running tree instead.
#[derive(Debug)]
pub struct Card {
    /// The actor's type; the same word as the kind in the actor list.
    pub actor: &'static str,
    pub file: &'static str,
    /// Paths of its instances, such as `provider/<id>`.
    pub instances: &'static str,
    /// Every message that it handles.
    pub takes: &'static [fn() -> Taken],
    /// Whom it asks, through which port, and what leaves the process.
    pub asks: &'static str,
    /// What a caller sees when the permits run out.
    pub when_full: &'static str,
    /// What a restart loses, and how it comes back.
    pub lost: &'static str,
    /// The symptom, where to see it, and the first thing to look at.
    pub stuck: &'static str,
}

/// A message and its reply, by the names of their types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub message: String,
    pub reply: String,
}

/// Names a message that the actor handles. One that it does not handle does not compile.
pub fn handles<A, M>() -> Taken
where
    A: Actor + Handler<M>,
    M: Message,
{
    Taken {
        message: without_paths(std::any::type_name::<M>()),
        reply: without_paths(std::any::type_name::<M::Result>()),
    }
}

/// `core::result::Result<a::b::C, d::E>` as `Result<C, E>`.
fn without_paths(name: &str) -> String {
    let mut short = String::new();
    let mut word = String::new();
    for c in name.chars() {
        match c {
            ':' => word.clear(),
            c if c.is_alphanumeric() || c == '_' => word.push(c),
            c => {
                short.push_str(&std::mem::take(&mut word));
                short.push(c);
            }
        }
    }
    short + &word
}

/// Makes the `CARD` of an actor in its own file.
macro_rules! card {
    ($actor:ident takes [$($message:ty),*]; $($field:ident: $text:expr),* $(,)?) => {
        /// What people need to know about this actor.
        pub static CARD: $crate::supervise::Card = $crate::supervise::Card {
            actor: stringify!($actor),
            file: file!(),
            takes: &[$($crate::supervise::handles::<$actor, $message>),*],
            $($field: $text,)*
        };
    };
}

pub(crate) use card;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_without_their_paths() {
        let table = [
            ("()", "()"),
            ("bool", "bool"),
            ("core::result::Result<(), a::b::C>", "Result<(), C>"),
            ("alloc::vec::Vec<(alloc::string::String, a::B)>", "Vec<(String, B)>"),
        ];
        for (long, short) in table {
            assert_eq!(without_paths(long), short);
        }
    }
}
