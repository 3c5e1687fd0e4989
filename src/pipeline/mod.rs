//! The stages of one turn: plain functions over plain data.
