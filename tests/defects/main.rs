//! What existing systems get wrong and this library must not: `docs/DEFECTS.md` is the table. Here are the tests of its
//! rows that are no rule's alone, and one that holds the table to the tests it names.

#[path = "../rules/support.rs"]
#[allow(dead_code, reason = "tests/rules uses the rest")]
mod support;

#[path = "../documents/mod.rs"]
mod documents;

mod mlx_swift;
mod mlxrs;
mod table;
