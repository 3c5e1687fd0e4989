//! The rows of the table, in its order.

mod crash;
mod faults;
mod in_flight;
mod order;
mod overload;
mod path;
mod reload;
mod start;
mod storm;
mod webhook;

use crate::Wish;
use crate::report::Row;
use std::pin::Pin;

type Measured<'a> = Pin<Box<dyn Future<Output = Vec<Row>> + 'a>>;

/// Name and measurement of each row.
pub const ALL: &[(&str, fn(&Wish) -> Measured<'_>)] = &[
    ("ready", |wish| Box::pin(start::ready(wish))),
    ("idle", |wish| Box::pin(start::idle(wish))),
    ("webhook", |wish| Box::pin(webhook::run(wish))),
    ("path", |wish| Box::pin(path::run(wish))),
    ("in-flight", |wish| Box::pin(in_flight::run(wish))),
    ("kills", |wish| Box::pin(crash::kills(wish))),
    ("controls", |wish| Box::pin(crash::controls(wish))),
    ("faults", |wish| Box::pin(faults::run(wish))),
    ("storm", |wish| Box::pin(storm::run(wish))),
    ("reload", |wish| Box::pin(reload::run(wish))),
    ("overload", |wish| Box::pin(overload::run(wish))),
    ("order", |wish| Box::pin(order::run(wish))),
];
