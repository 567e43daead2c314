//! Folders with checkpoints: valid headers over sparse data, so that gigabytes cost a few kilobytes.

use crate::kit::{Folder, MIB};
use std::fs::File;
use std::io::Write;

impl Folder {
    /// A folder with one file of [`weights`](Self::weights).
    pub(crate) fn with(name: &str, tensors: &[Tensor]) -> Self {
        let folder = Self::new();
        folder.weights(name, tensors);
        folder
    }

    /// A file in the format, with its data.
    pub(crate) fn weights(&self, name: &str, tensors: &[Tensor]) {
        let (header, data) = header(tensors);
        self.file(name, &header, data);
    }

    /// A file with this header, and so many bytes behind it.
    pub(crate) fn file(&self, name: &str, header: &str, data: u64) {
        let mut file = File::create(self.at(name)).expect("the file can be made");
        let length = header.len() as u64;
        file.write_all(&length.to_le_bytes())
            .expect("it can be written");
        file.write_all(header.as_bytes())
            .expect("it can be written");
        file.set_len(8 + length + data).expect("it can be sparse");
    }

    /// An index: which tensors are in which shard.
    pub(crate) fn index(&self, shards: &[(&str, &[Tensor])]) {
        self.index_named("model.safetensors.index.json", shards);
    }

    pub(crate) fn index_named(&self, name: &str, shards: &[(&str, &[Tensor])]) {
        let mut map = serde_json::Map::new();
        for (shard, tensors) in shards {
            for tensor in *tensors {
                map.insert(tensor.name.clone(), (*shard).into());
            }
        }
        let index = serde_json::json!({"metadata": {"total_size": 0}, "weight_map": map});
        self.write(name, index.to_string());
    }

    /// A checkpoint in shards of so many MiB with its index, but for those that are not there.
    pub(crate) fn sharded(&self, sizes: &[u64], missing: &[usize]) {
        let of = sizes.len();
        let shards: Vec<(String, Vec<Tensor>)> = sizes
            .iter()
            .enumerate()
            .map(|(n, mib)| {
                let name = format!("model-{:05}-of-{of:05}.safetensors", n + 1);
                let tensors = [
                    half(&format!("{n}.up"), mib - 1),
                    half(&format!("{n}.down"), 1),
                ];
                (name, tensors.into())
            })
            .collect();
        let all: Vec<(&str, &[Tensor])> = shards
            .iter()
            .map(|(name, tensors)| (name.as_str(), tensors.as_slice()))
            .collect();
        self.index(&all);
        for (n, (name, tensors)) in shards.iter().enumerate() {
            if !missing.contains(&n) {
                self.weights(name, tensors);
            }
        }
    }
}

/// A tensor of a file.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    dtype: String,
    shape: Vec<u64>,
    bytes: u64,
}

pub(crate) fn tensor(name: &str, dtype: &str, shape: &[u64], bytes: u64) -> Tensor {
    Tensor {
        name: name.to_owned(),
        dtype: dtype.to_owned(),
        shape: shape.to_vec(),
        bytes,
    }
}

/// That many MiB of 16-bit numbers.
pub(crate) fn half(name: &str, mib: u64) -> Tensor {
    tensor(name, "F16", &[mib * MIB / 2], mib * MIB)
}

/// That many MiB of 32-bit numbers.
pub(crate) fn single(name: &str, mib: u64) -> Tensor {
    tensor(name, "F32", &[mib * MIB / 4], mib * MIB)
}

/// A matrix of 16-bit numbers.
pub(crate) fn matrix(name: &str, out: u64, of: u64) -> Tensor {
    tensor(name, "BF16", &[out, of], out * of * 2)
}

/// The text of a header, and how long the data behind it is.
pub(crate) fn header(tensors: &[Tensor]) -> (String, u64) {
    let mut entries = serde_json::Map::new();
    let mut end = 0;
    for tensor in tensors {
        let offsets = [end, end + tensor.bytes];
        let entry = serde_json::json!({
            "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets
        });
        entries.insert(tensor.name.clone(), entry);
        end += tensor.bytes;
    }
    (serde_json::Value::Object(entries).to_string(), end)
}

/// What Git leaves of a large file that was not fetched.
pub(crate) fn pointer(size: u64) -> String {
    let digest = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n")
}
