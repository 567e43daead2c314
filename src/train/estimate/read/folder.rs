//! A model's folder, or a single file: what counts of it, and what is wrong with it.

use super::choose::{self, Chosen};
use super::file::Unread;
use super::header::Tensor;
use super::hub::{self, Cache};
use super::listing::{self, Listing};
use super::parts::{self, Folder};
use super::sets::{self, Set};
use crate::print::{Bytes, Name};
use crate::train::estimate::{Problem, Severity};
use std::path::{Path, PathBuf};

/// The weights of one part of a model.
pub(in crate::train::estimate) struct Part {
    /// The part's folder, as text and not escaped; empty for the model's own.
    pub(in crate::train::estimate) name: String,
    pub(in crate::train::estimate) files: usize,
    pub(in crate::train::estimate) tensors: Vec<Tensor>,
}

/// Everything that was found.
#[derive(Default)]
pub(in crate::train::estimate) struct Found {
    pub(in crate::train::estimate) parts: Vec<Part>,
    pub(in crate::train::estimate) problems: Vec<Problem>,
    adapters: Vec<Set>,
    /// Where its `config.json` would be.
    pub(in crate::train::estimate) folder: Option<PathBuf>,
    /// It has a `model_index.json`.
    pub(in crate::train::estimate) is_pipeline: bool,
}

/// Reads what is at the path. An error only if nothing is there, or it may not be looked at.
pub(in crate::train::estimate) fn read(path: &Path) -> std::io::Result<Found> {
    let mut found = Found::default();
    if path.metadata()?.is_dir() {
        match Listing::of(path) {
            Ok(listing) => found.read_folder(path, listing),
            Err(Unread::Other(error)) => return Err(error),
            Err(unread) => found.problems.push(Problem::error(
                "unread-folder",
                format!("the folder {}", unread.why()),
                "name a folder that can be read",
            )),
        }
    } else {
        found.read_file(path);
    }
    let is_counted = found.parts.iter().any(|part| !part.tensors.is_empty());
    if !is_counted
        && found
            .problems
            .iter()
            .all(|problem| problem.severity < Severity::Error)
    {
        found.problems.push(Problem::error(
            "no-tensors",
            "there is no tensor in it".to_owned(),
            "name the folder that holds a model's *.safetensors",
        ));
    }
    Ok(found)
}

impl Found {
    fn read_file(&mut self, path: &Path) {
        let name = path.file_name().map(listing::text).unwrap_or_default();
        let shown = Name::new(&name);
        if listing::is_read_by_mlx(&name) {
            self.problems.push(Problem::error(
                "other-format",
                format!("{shown} is not read: only *.safetensors are"),
                "convert it, or name the safetensors file of the same weights",
            ));
            return;
        }
        if name.ends_with(".json") {
            self.problems.push(Problem::error(
                "malformed-file",
                format!("{shown} is no file of weights"),
                "name the folder that it lies in",
            ));
            return;
        }
        if let Some((_, _, of)) = sets::shard(&name)
            && of > 1
        {
            // No program loads a shard alone.
            self.problems.push(Problem::error(
                "one-shard",
                format!("{shown} is one of {of} shards, and it alone is counted"),
                "name the folder to have the whole model counted",
            ));
        }
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        let path = path.to_owned();
        let set = Set::of_file(&listing::Entry { path, name, bytes });
        self.add(String::new(), vec![set]);
        self.settle_adapters(true);
    }

    fn read_folder(&mut self, path: &Path, listing: Listing) {
        match hub::detect(path, &listing) {
            Cache::No => self.read_model(path, listing),
            Cache::Nothing(problem) => self.problems.push(problem),
            Cache::Model(model) => match Listing::of(&model) {
                Ok(listing) => self.read_folder(&model, listing),
                Err(unread) => self.unread_folder("the model's folder", &unread),
            },
            Cache::Snapshot(snapshot, problems) => {
                self.problems.extend(problems);
                self.problems.extend(hub::unfinished(&path.join("blobs")));
                match Listing::of(&snapshot) {
                    Ok(listing) => self.read_model(&snapshot, listing),
                    Err(unread) => self.unread_folder("the snapshot", &unread),
                }
            }
        }
    }

    fn unread_folder(&mut self, what: &str, unread: &Unread) {
        let text = format!("{what} {}", unread.why());
        self.problems.push(Problem::error(
            "unread-folder",
            text,
            "fetch the model again",
        ));
    }

    fn read_model(&mut self, path: &Path, listing: Listing) {
        self.folder = Some(path.to_owned());
        let downloads = path.join(".cache/huggingface/download");
        self.problems.extend(hub::unfinished(&downloads));
        let mut folders = parts::below(path, &listing, &mut self.problems);
        let pipeline = parts::of_pipeline(path);
        self.is_pipeline = pipeline.is_some();
        match pipeline {
            // One that names none says nothing about the folders.
            Some(Ok(named)) if !named.is_empty() => {
                self.problems
                    .extend(parts::missing(&named, &listing, &folders));
                let (parts, rest): (Vec<_>, Vec<_>) = folders
                    .into_iter()
                    .partition(|folder| named.contains(&folder.name));
                folders = parts;
                for folder in rest {
                    self.report_left_out(folder, "model_index.json does not name it");
                }
            }
            Some(Err(problem)) => self.problems.push(problem),
            Some(Ok(_)) => {}
            None => {
                folders = self.without_checkpoints(folders, &listing);
                self.report_many_models(path, &folders);
                if listing.weights.is_empty() && listing.indexes.is_empty() {
                    self.problems.extend(parts::lacking(&listing, &folders));
                }
            }
        }
        let own = Folder {
            name: String::new(),
            listing,
        };
        if self.is_pipeline && !folders.is_empty() {
            self.report_left_out(own, "the parts that model_index.json names are counted");
        } else {
            self.read_part(own);
        }
        for folder in folders {
            self.read_part(folder);
        }
        self.settle_adapters(false);
        self.report_guess();
    }

    /// A trainer's checkpoints are whole models: beside a model they do not count, alone one must be chosen.
    fn without_checkpoints(&mut self, folders: Vec<Folder>, own: &Listing) -> Vec<Folder> {
        let (checkpoints, rest): (Vec<_>, Vec<_>) = folders
            .into_iter()
            .partition(|folder| is_checkpoint(&folder.name));
        let alone = own.weights.is_empty() && own.indexes.is_empty() && rest.is_empty();
        if !alone {
            for folder in checkpoints {
                self.report_left_out(folder, "it is a checkpoint of a run");
            }
            return rest;
        }
        if checkpoints.len() > 1 {
            let names: Vec<&str> = checkpoints
                .iter()
                .map(|folder| folder.name.as_str())
                .collect();
            self.problems.push(Problem::error(
                "many-checkpoints",
                format!(
                    "there are {}: {}",
                    sets::count(names.len(), "checkpoint"),
                    sets::some(&names)
                ),
                "name one of them",
            ));
            return rest;
        }
        checkpoints
    }

    /// Folders that each hold a model of their own: none of them is part of another.
    fn report_many_models(&mut self, path: &Path, folders: &[Folder]) {
        let is_model = |folder: &&Folder| parts::is_model(&path.join(&folder.name));
        let names: Vec<&str> = folders
            .iter()
            .filter(is_model)
            .map(|folder| folder.name.as_str())
            .collect();
        if names.len() > 1 {
            self.problems.push(Problem::error(
                "many-models",
                format!(
                    "there are {}: {}",
                    sets::count(names.len(), "model"),
                    sets::some(&names)
                ),
                "name the folder of one of them",
            ));
        }
    }

    fn report_left_out(&mut self, folder: Folder, why: &str) {
        let chosen = choose::choose(sets::of(&folder.listing));
        let bytes = chosen
            .sets
            .iter()
            .map(Set::bytes)
            .fold(0, u64::saturating_add);
        if bytes > 0 {
            let name = if folder.name.is_empty() {
                let names: Vec<&str> = chosen.sets.iter().map(|set| set.name.as_str()).collect();
                sets::some(&names)
            } else {
                Name::new(&folder.name).to_string()
            };
            self.problems.push(Problem::note(
                "left-out",
                format!("{name} ({}) is not counted: {why}", Bytes(bytes)),
                "name it itself to have it counted",
            ));
        }
    }

    fn read_part(&mut self, folder: Folder) {
        let Folder { name, listing } = folder;
        let mut found = sets::of(&listing);
        let has_weights = !found.is_empty();
        for set in &mut found {
            let all = set.missing.iter_mut().chain(&mut set.problems);
            all.for_each(|problem| problem.append_folder(&name));
        }
        let before = self.problems.len();
        for (entry, why) in &listing.unread {
            let text = format!("{} {}", entry.shown(), why.why());
            self.problems.push(match why {
                Unread::Folder => Problem::note(
                    "folder-named-like-a-file",
                    text,
                    "weights in it are counted as a part's",
                ),
                _ => Problem::error(
                    "unread-file",
                    text,
                    "fetch it again, or move it away if it is no part of the model",
                ),
            });
        }
        if listing.is_cut {
            self.problems.push(Problem::error(
                "many-files",
                "the folder has too many files, and the rest was not looked at".to_owned(),
                "name the folder of one model",
            ));
        }
        let own = self.problems.iter_mut().skip(before);
        own.for_each(|problem| problem.append_folder(&name));
        let formats = parts::formats(&name, &listing, has_weights);
        self.problems.extend(formats);
        if has_weights {
            self.add(name, found);
        }
    }

    /// Chooses among the sets of a folder, and keeps what counts.
    fn add(&mut self, name: String, found: Vec<Set>) {
        let Chosen {
            sets,
            adapters,
            problems,
        } = choose::choose(found);
        self.problems.extend(problems);
        self.adapters.extend(adapters);
        // What the model's own folder holds already: a copy in another precision, say.
        let is_own =
            |part: &&Part| part.name.is_empty() && !name.is_empty() && !part.tensors.is_empty();
        let is_there = |own: &Part| {
            let is_copy =
                |set: &Set| set.is_consolidated_of(&own.tensors) || set.is_copy_of(&own.tensors);
            sets.iter().all(is_copy)
        };
        if self.parts.first().filter(is_own).is_some_and(is_there) {
            let bytes = sets.iter().map(Set::bytes).fold(0, u64::saturating_add);
            if bytes > 0 {
                self.problems.push(Problem::note(
                    "same-weights",
                    format!(
                        "{} ({}) holds weights that are counted already",
                        Name::new(&name),
                        Bytes(bytes)
                    ),
                    "name that folder itself if a program loads it in the other's place",
                ));
            }
            return;
        }
        self.count(name, sets);
    }

    fn count(&mut self, name: String, sets: Vec<Set>) {
        if sets.is_empty() {
            return;
        }
        let mut part = Part {
            name,
            files: 0,
            tensors: Vec::new(),
        };
        for set in sets {
            self.problems.extend(set.missing);
            self.problems.extend(set.problems);
            part.files += set.files;
            part.tensors.extend(set.tensors);
        }
        part.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        self.parts.push(part);
    }

    /// Adapters beside a model do not count; those without one do, and the model is missing.
    fn settle_adapters(&mut self, is_asked: bool) {
        let adapters = std::mem::take(&mut self.adapters);
        let is_alone = self.parts.is_empty();
        for mut adapter in adapters {
            let (shown, bytes) = (Name::new(&adapter.name).to_string(), Bytes(adapter.bytes()));
            if !is_alone {
                self.problems.push(Problem::note(
                    "adapter",
                    format!("{shown} ({bytes}) is an adapter beside the model: not counted"),
                    "add its bytes if the program loads it",
                ));
                let rest = adapter.missing.into_iter().chain(adapter.problems);
                self.problems
                    .extend(rest.map(|problem| problem.at_most(Severity::Warning)));
                continue;
            }
            let problem = Problem::error(
                "adapter-alone",
                format!("{shown} ({bytes}) is an adapter, and its base model is not here"),
                "name the base model's folder; the adapter is counted here alone",
            );
            let most = if is_asked {
                Severity::Warning
            } else {
                Severity::Error
            };
            adapter.problems.push(problem.at_most(most));
            self.count(String::new(), vec![adapter]);
        }
    }

    fn report_guess(&mut self) {
        let below = self
            .parts
            .iter()
            .filter(|part| !part.name.is_empty())
            .count();
        if !self.is_pipeline && below > 1 {
            self.problems.push(Problem::note(
                "parts",
                format!("{below} folders with weights are taken for parts of one model"),
                "name one of them if they are models of their own",
            ));
        }
    }
}

/// `checkpoint-500`, as trainers name them.
fn is_checkpoint(name: &str) -> bool {
    let first = name.split('/').next().unwrap_or(name);
    let number = first.strip_prefix("checkpoint-");
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}
