//! Which sets of a folder count: the same weights often lie there twice.

use super::sets::Set;
use crate::print::{Bytes, Name};
use crate::train::estimate::{Problem, Severity};
use std::cmp::Reverse;

/// What counts of one folder.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) sets: Vec<Set>,
    /// Low-rank adapters: for a model that is in the folder, or elsewhere.
    pub(super) adapters: Vec<Set>,
    pub(super) problems: Vec<Problem>,
}

/// Sorts out what holds the same weights as another set.
///
/// * `consolidated*` beside as many numbers: Mistral's and Meta's names for the same tensors.
/// * A set all of whose tensors are in another one, by names and shapes: another precision of them (`model.fp16`), a
///   copy, a rest of an earlier download. The whole one counts; of two equals the one with the shorter name.
pub(super) fn choose(sets: Vec<Set>) -> Chosen {
    let (adapters, mut rest): (Vec<_>, Vec<_>) = sets.into_iter().partition(is_adapter);
    rest.sort_by_cached_key(|set| {
        let size = (Reverse(set.names.len()), set.name.len());
        (
            set.is_consolidated(),
            !set.is_whole(),
            size,
            set.name.clone(),
        )
    });
    let mut chosen = Chosen {
        adapters,
        ..Chosen::default()
    };
    for set in rest {
        let mut kept = chosen.sets.iter();
        let others = kept.clone().filter(|kept| !kept.is_consolidated());
        let same = match set.is_consolidated_of(others.clone().flat_map(|kept| &kept.tensors)) {
            true => others.max_by_key(|kept| kept.bytes()),
            // Shapes, too: two parts of a pipeline may use the same names, two text encoders of different widths say.
            false => kept.find(|kept| set.is_copy_of(&kept.tensors)),
        };
        match same {
            Some(kept) => {
                let problem = left_out(&set, kept);
                chosen.problems.push(problem);
                let rest = set.problems.into_iter();
                chosen
                    .problems
                    .extend(rest.map(|problem| problem.at_most(Severity::Warning)));
            }
            None => chosen.sets.push(set),
        }
    }
    chosen
}

fn left_out(set: &Set, kept: &Set) -> Problem {
    let (name, by) = (Name::new(&set.name), Name::new(&kept.name));
    if set.is_whole() {
        return Problem::note(
            "same-weights",
            format!(
                "{name} ({}) holds weights that {by} holds: counted once",
                Bytes(set.bytes())
            ),
            "name that file itself if a program loads it in the other's place",
        );
    }
    Problem::warning(
        "rest-of-download",
        format!("{name} is not whole, and {by} holds all of its tensors: that one is counted"),
        "move what is left of it away, so that no loader takes it",
    )
}

/// By the names that PEFT, mlx-lm and diffusers give them, or by their tensors.
fn is_adapter(set: &Set) -> bool {
    let name = set.name.strip_suffix(".safetensors").unwrap_or(&set.name);
    let by_name = matches!(name, "adapter_model" | "adapters" | "pytorch_lora_weights")
        || name.ends_with("_adapters");
    by_name || !set.names.is_empty() && set.names.iter().all(|name| is_low_rank(name))
}

/// Whether `lora` is a word of the name: not the middle of one.
fn is_low_rank(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| word == "lora")
}
