//! Reading a model's files: headers and indexes alone, every layout in which models are found on disks.
//!
//! | file | what |
//! | --- | --- |
//! | `file.rs` | regular files alone, without waiting, never more than asked for |
//! | `header.rs` | one file's header |
//! | `listing.rs` | what is in a folder |
//! | `sets.rs` | files that are loaded together |
//! | `choose.rs` | which sets count, where the same weights lie there twice |
//! | `parts.rs`, `hub.rs` | folders below, and the hub's cache |
//! | `folder.rs` | all of it |

mod choose;
mod file;
mod folder;
mod header;
mod hub;
mod listing;
mod parts;
mod sets;

pub(super) use file::small;
pub(super) use folder::{Part, read};
pub(super) use header::Tensor;
