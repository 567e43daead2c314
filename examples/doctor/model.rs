//! What a model's folder of `*.safetensors` holds, from the files' headers alone.

use safetensors::tensor::Metadata;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The format's own bound on a header.
const MOST_HEADER: u64 = 100_000_000;

/// The weights of a model. Sizes in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) files: usize,
    pub(crate) tensors: usize,
    pub(crate) bytes: u64,
    /// By type of number: tensors and bytes.
    pub(crate) types: BTreeMap<String, (usize, u64)>,
    /// The largest tensor.
    pub(crate) largest: Option<(String, u64)>,
    /// Shards that the index names and the folder lacks.
    pub(crate) missing: Vec<String>,
}

/// Reads a folder, or a single file.
pub(crate) fn read(path: &Path) -> Result<Model, String> {
    let files = weight_files(path)?;
    let mut model = Model {
        missing: missing_shards(path, &files)?,
        ..Model::default()
    };
    for file in &files {
        model
            .add(file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(model)
}

fn weight_files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let problem = |error| format!("{}: {error}", path.display());
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(problem)? {
        let file = entry.map_err(problem)?.path();
        if file.extension().is_some_and(|it| it == "safetensors") {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(format!("{}: no *.safetensors in it", path.display()));
    }
    files.sort();
    Ok(files)
}

/// The shards that `*.safetensors.index.json` names and that are not there: a download that was cut off.
fn missing_shards(path: &Path, files: &[PathBuf]) -> Result<Vec<String>, String> {
    let index = path.join("model.safetensors.index.json");
    let Ok(text) = std::fs::read_to_string(&index) else {
        return Ok(Vec::new());
    };
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", index.display()))?;
    let shards = json["weight_map"].as_object().into_iter().flatten();
    let named: BTreeSet<&str> = shards.filter_map(|(_, shard)| shard.as_str()).collect();
    let is_there = |name: &str| {
        let mut names = files.iter().filter_map(|file| file.file_name());
        names.any(|file| file == name)
    };
    let missing = named.into_iter().filter(|name| !is_there(name));
    Ok(missing.map(str::to_owned).collect())
}

impl Model {
    fn add(&mut self, path: &Path) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let mut file = File::open(path).map_err(text)?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(text)?;
        let header = u64::from_le_bytes(length);
        if header > MOST_HEADER {
            return Err("not in the safetensors format".to_owned());
        }
        let mut buffer = Vec::new();
        let read = file.by_ref().take(header).read_to_end(&mut buffer);
        read.map_err(text)?;
        // The header alone: the crate's own reader wants the whole file in memory.
        let metadata: Metadata =
            serde_json::from_slice(&buffer).map_err(|error| error.to_string())?;
        let whole = 8 + header + metadata.data_len() as u64;
        let size = file.metadata().map_err(text)?.len();
        if size != whole {
            return Err(format!("{size} bytes, but its header speaks of {whole}"));
        }
        self.files += 1;
        for (name, tensor) in metadata.tensors() {
            let bytes = (tensor.data_offsets.1 - tensor.data_offsets.0) as u64;
            self.tensors += 1;
            self.bytes += bytes;
            let of_type = self.types.entry(format!("{:?}", tensor.dtype)).or_default();
            *of_type = (of_type.0 + 1, of_type.1 + bytes);
            if self.largest.as_ref().is_none_or(|(_, most)| bytes > *most) {
                self.largest = Some((name, bytes));
            }
        }
        Ok(())
    }
}
