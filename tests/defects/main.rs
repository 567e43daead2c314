//! What existing systems get wrong and this library must not: `docs/DEFECTS.md` is the table. Here are the tests of its
//! rows that are no rule's alone, and one that holds the table to the tests it names.

#[path = "../kit/mod.rs"]
mod kit;

#[path = "../documents/mod.rs"]
mod documents;

mod mlx_swift;
mod mlxrs;
mod table;
