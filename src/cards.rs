//! Every kind of actor in this program, for `actors.md`.

use crate::supervise::Card;
use crate::{dispatch, knowledge, platforms, providers, reload, supervise};

/// The cards, in the order of the tree.
pub fn all() -> Vec<&'static Card> {
    let platforms = platforms::KINDS.iter().map(|kind| kind.card);
    let providers = providers::KINDS.iter().map(|kind| kind.card);
    let rooms = [knowledge::CARDS, dispatch::CARDS, &[&reload::CARD]];
    let families =
        platforms.chain([&providers::manager::CARD]).chain(providers).chain(rooms.into_iter().flatten().copied());
    supervise::CARDS.iter().copied().chain(families).collect()
}
