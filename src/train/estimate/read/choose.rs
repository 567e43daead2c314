//! Which sets of a folder count: the same weights often lie there twice.

use super::sets::Set;
use crate::print::{Bytes, Name};
use crate::train::estimate::{Problem, Severity};
use std::cmp::Reverse;
use std::collections::HashMap;

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
    let mut holding = Holding::default();
    for set in rest {
        let others = chosen.sets.iter().filter(|kept| !kept.is_consolidated());
        let same = match set.is_consolidated_of(others.clone().flat_map(|kept| &kept.tensors)) {
            true => others.max_by_key(|kept| kept.bytes()),
            // Shapes, too: two parts of a pipeline may use the same names, two text encoders of different widths say.
            false => {
                let mut likely = holding.likely(&set).iter().map(|n| &chosen.sets[*n]);
                likely.find(|kept| set.is_copy_of(&kept.tensors))
            }
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
            None => {
                holding.add(chosen.sets.len(), &set);
                chosen.sets.push(set);
            }
        }
    }
    chosen
}

/// Which sets hold a tensor of a name and a shape: a folder may have ten thousand sets, and not each is compared with each.
#[derive(Default)]
struct Holding {
    by_tensor: HashMap<(String, Vec<u64>), Vec<usize>>,
    by_name: HashMap<String, Vec<usize>>,
}

impl Holding {
    fn add(&mut self, n: usize, set: &Set) {
        for tensor in &set.tensors {
            let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
            self.by_name.entry(name.clone()).or_default().push(n);
            self.by_tensor.entry((name, shape)).or_default().push(n);
        }
    }

    /// Those that hold one of the set's tensors, or one that its index names.
    fn likely(&self, set: &Set) -> &[usize] {
        let of = match (set.tensors.first(), set.names.first()) {
            (Some(tensor), _) => self
                .by_tensor
                .get(&(tensor.name.clone(), tensor.shape.clone())),
            (None, Some(name)) => self.by_name.get(name),
            (None, None) => None,
        };
        of.map_or(&[], Vec::as_slice)
    }
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
