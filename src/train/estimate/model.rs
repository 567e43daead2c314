//! A model as its files tell of it.

use super::config::{self, Config};
use super::read::{self, Part, Tensor};
use super::shape::Shape;
use super::{Problem, Severity};
use crate::print::Name;
use crate::train::Error;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// How many types are told apart.
const MOST_TYPES: usize = 32;
/// How many problems of files are told.
const MOST_PROBLEMS: usize = 50;

/// A part's weights, as the files' headers say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Weights {
    /// The part's folder, escaped and cut; empty for the model's own.
    pub part: String,
    /// How many files.
    pub files: usize,
    /// How many tensors.
    pub tensors: usize,
    /// How many bytes they take, by their offsets.
    pub bytes: u64,
}

/// Tensors of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct OfType {
    /// How many.
    pub tensors: usize,
    /// How many bytes they take.
    pub bytes: u64,
}

/// A model's weights and shape, read from its folder before it is loaded. Cheap to clone.
///
/// # What is read
///
/// The headers of `*.safetensors`, never their data, and the small JSON files beside them. A header's offsets say
/// exactly how many bytes each tensor takes, of whatever type: types that are newer than this library are counted, too.
/// Regular files alone are opened, so no pipe and no device holds the reader up.
///
/// | layout | what counts |
/// | --- | --- |
/// | one file; shards; an index and its shards | all of it; a shard that the index or a name speaks of and that is not there is a [`Problem`] |
/// | `consolidated.safetensors`, another precision, a copy, beside the weights | the weights once |
/// | the hub's cache, `models--NAME/snapshots/..` | the snapshot that `refs/main` names; one that is not there is a [`Problem`] |
/// | a folder for each part, with `model_index.json` or without | all parts |
/// | an adapter beside its base | the base; the adapter is named |
/// | an adapter alone | the adapter; its base is missing |
/// | a pointer of Git LFS in a file's place; a file that was cut off; one that is malformed | not known: a [`Problem`] |
/// | a part or an index that is there by name alone; a download that has not ended | not known: a [`Problem`] |
/// | `*.gguf`, `*.npz` | not read: a [`Problem`] that names them, beside weights that are read, too, since MLX loads them |
/// | other formats | not read: named; a [`Problem`] where there is nothing else |
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Model {
    /// The weights of each part.
    pub weights: Vec<Weights>,
    /// The types of the tensors' numbers, escaped and cut.
    pub types: BTreeMap<String, OfType>,
    /// The largest tensor: its name, escaped and cut, and its bytes.
    pub largest: Option<(String, u64)>,
    /// What `config.json` says of the network, if there is one whose family is known.
    pub shape: Option<Shape>,
    /// What is wrong with the files, or worth knowing.
    pub problems: Vec<Problem>,
    #[serde(skip)]
    pub(super) inner: Arc<Inner>,
}

/// What is not for people.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) tensors: Vec<Tensor>,
    pub(super) config: Config,
    pub(super) has_config: bool,
    /// The tensors are the configuration's, not a file's.
    pub(super) is_planned: bool,
    pub(super) is_pipeline: bool,
}

impl Model {
    /// Reads a folder, or a single `*.safetensors` file.
    ///
    /// What is wrong with the files is in [`problems`](Model::problems), so that everything else is told, too.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] if nothing is at the path, or it may not be looked at.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let found = read::read(path).map_err(|source| Error::Model {
            path: Name::new(&path.to_string_lossy()).to_string(),
            source,
        })?;
        let mut problems = found.problems;
        let text = found
            .folder
            .as_ref()
            .and_then(|folder| read::small(&folder.join("config.json")));
        let has_config = text.is_some();
        let mut config = Config::default();
        match text {
            Some(Ok(text)) => config = config::read(&text),
            Some(Err(why)) => config.problems.push(Problem::error(
                "unread-config",
                format!("config.json {why}"),
                "fetch it again: the cache of keys and values is not known without it",
            )),
            None => {}
        }
        let weights: Vec<Weights> = found.parts.iter().map(Weights::of).collect();
        let tensors: Vec<Tensor> = found
            .parts
            .into_iter()
            .flat_map(|part| part.tensors)
            .collect();
        if let (Some(shape), Some(number)) = (&mut config.shape, stored(&tensors)) {
            shape.number = number;
        }
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        if let Some(more) = problems
            .len()
            .checked_sub(MOST_PROBLEMS)
            .filter(|more| *more > 0)
        {
            problems.truncate(MOST_PROBLEMS);
            let text = format!("{more} more are not told");
            problems.push(Problem::note("more-problems", text, "see to these first"));
        }
        let inner = Inner {
            tensors,
            config,
            has_config,
            is_planned: false,
            is_pipeline: found.is_pipeline,
        };
        Ok(Self::new(weights, problems, inner))
    }

    /// A model that is not here yet, by the text of its `config.json`. Its weights are counted for the families Llama,
    /// Mistral, Mixtral, Qwen 2 and 3, Gemma 3 and DeepSeek 2 and 3, at the type that the configuration states.
    pub fn from_config(text: &str) -> Self {
        let config = config::read(text.as_bytes());
        let tensors = config::tensors(text.as_bytes());
        let mut problems = Vec::new();
        if tensors.is_none() && config.problems.is_empty() {
            problems.push(Problem::error(
                "weights-not-counted",
                "the weights of this family cannot be counted from its configuration".to_owned(),
                "name a folder that holds them",
            ));
        }
        let part = Part {
            name: String::new(),
            files: 0,
            tensors: tensors.unwrap_or_default(),
        };
        let weights = vec![Weights::of(&part)];
        let inner = Inner {
            tensors: part.tensors,
            config,
            has_config: true,
            is_planned: true,
            is_pipeline: false,
        };
        Self::new(weights, problems, inner)
    }

    fn new(weights: Vec<Weights>, problems: Vec<Problem>, inner: Inner) -> Self {
        let mut types: BTreeMap<String, OfType> = BTreeMap::new();
        for tensor in &inner.tensors {
            let is_one_more = types.len() >= MOST_TYPES && !types.contains_key(&tensor.dtype);
            let name = if is_one_more { "others" } else { &tensor.dtype };
            let of_type = types.entry(name.to_owned()).or_default();
            of_type.tensors += 1;
            of_type.bytes = of_type.bytes.saturating_add(tensor.bytes);
        }
        let largest = inner.tensors.iter().max_by_key(|tensor| tensor.bytes);
        let largest = largest.map(|tensor| (Name::new(&tensor.name).to_string(), tensor.bytes));
        let mut model = Self {
            weights,
            types,
            largest,
            shape: inner.config.shape.clone(),
            problems,
            inner: Arc::new(inner),
        };
        model.report_types();
        model
    }

    /// All weights, in bytes.
    pub fn bytes(&self) -> u64 {
        let bytes = self.weights.iter().map(|part| part.bytes);
        bytes.fold(0, u64::saturating_add)
    }

    /// Whether everything that belongs to the weights was found and read.
    pub fn is_whole(&self) -> bool {
        self.problems
            .iter()
            .all(|problem| problem.severity < Severity::Error)
    }

    /// Types that MLX's own reader does not take, or takes for something else.
    fn report_types(&mut self) {
        let known = [
            "F32", "F16", "BF16", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL",
            "C64",
        ];
        let as_bytes = ["F8_E4M3", "F8_E8M0"];
        let names = |which: &dyn Fn(&str) -> bool| {
            let names = self.types.keys().filter(|name| which(name));
            names
                .map(String::as_str)
                .take(8)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let unknown = names(&|name| !known.contains(&name) && !as_bytes.contains(&name));
        let eights = names(&|name| as_bytes.contains(&name));
        if !unknown.is_empty() {
            self.problems.push(Problem::warning(
                "types",
                format!("MLX's reader does not know the types {unknown}; their bytes are counted by the offsets"),
                "count anew once the weights are converted",
            ));
        }
        if !eights.is_empty() {
            self.problems.push(Problem::warning(
                "types-of-eight-bits",
                format!("MLX reads {eights} as plain bytes, and mlx-lm makes 16-bit numbers of them: twice the bytes"),
                "count anew once the weights are converted",
            ));
        }
    }
}

/// How wide most of the numbers are that are computed with: mlx-lm casts nothing when it loads, whatever the
/// configuration says. Of quantised weights these are the scales.
fn stored(tensors: &[Tensor]) -> Option<u64> {
    let bytes = |names: &[&str]| {
        let of = tensors
            .iter()
            .filter(|tensor| names.contains(&tensor.dtype.as_str()));
        of.map(|tensor| tensor.bytes).fold(0, u64::saturating_add)
    };
    match (bytes(&["F32"]), bytes(&["F16", "BF16"])) {
        (0, 0) => None,
        (singles, halves) => Some(if singles > halves { 4 } else { 2 }),
    }
}

impl Weights {
    fn of(part: &Part) -> Self {
        let bytes = part.tensors.iter().map(|tensor| tensor.bytes);
        Self {
            part: Name::new(&part.name).to_string(),
            files: part.files,
            tensors: part.tensors.len(),
            bytes: bytes.fold(0, u64::saturating_add),
        }
    }
}
