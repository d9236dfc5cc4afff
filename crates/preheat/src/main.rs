//! The preheat command.

fn main() {}
