//! What the doctor reads of a model's folder.

use mlx_wired::train::estimate::Model;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of its own, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mlx-wired-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the folder can be made");
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join(name), bytes).expect("the file can be written");
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A rest in the temporary folder does no harm.
        let _rest = fs::remove_dir_all(&self.0);
    }
}

/// A file in the format: the header's length, the header, the data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn one() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"mlx"},
        "a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
        "b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}"#;
    file(header, 32)
}

#[test]
fn shards_are_added_up() {
    let folder = Folder::new("shards");
    let two = r#"{"c":{"dtype":"BF16","shape":[50],"data_offsets":[0,100]}}"#;
    folder.write("model-00001-of-00002.safetensors", &one());
    folder.write("model-00002-of-00002.safetensors", &file(two, 100));
    folder.write("config.json", b"{}");
    let index = r#"{"weight_map":{"a":"model-00001-of-00002.safetensors",
        "c":"model-00002-of-00002.safetensors"}}"#;
    folder.write("model.safetensors.index.json", index.as_bytes());
    let model = Model::read(folder.path()).expect("the folder can be read");
    let weights = &model.weights[0];
    assert_eq!((weights.files, weights.tensors, model.bytes()), (2, 3, 132));
    assert_eq!(model.largest, Some(("c".to_owned(), 100)));
    let types: Vec<_> = model
        .types
        .iter()
        .map(|(name, of)| (name.as_str(), of.tensors, of.bytes))
        .collect();
    assert_eq!(types, [("BF16", 2, 108), ("F32", 1, 24)]);
    assert!(model.is_whole(), "{:?}", model.problems);
}

#[test]
fn a_shard_that_is_not_there_is_named() {
    let folder = Folder::new("missing");
    folder.write("model-00001-of-00002.safetensors", &one());
    let index = r#"{"weight_map":{"a":"model-00001-of-00002.safetensors",
        "c":"model-00002-of-00002.safetensors"}}"#;
    folder.write("model.safetensors.index.json", index.as_bytes());
    let model = Model::read(folder.path()).expect("the folder can be read");
    assert!(!model.is_whole());
    let text = &model.problems[0].text;
    assert!(text.contains("model-00002-of-00002.safetensors"), "{text}");
}

#[test]
fn a_single_file_can_be_named() {
    let folder = Folder::new("single");
    folder.write("weights.safetensors", &one());
    let model = Model::read(folder.path().join("weights.safetensors")).expect("it can be read");
    assert_eq!(model.bytes(), 32);
}

#[test]
fn what_is_no_model_is_refused_with_its_name() {
    let folder = Folder::new("broken");
    // What is there is read, and what is wrong with it is told.
    let refused = |path: &Path| match Model::read(path) {
        Ok(model) if !model.is_whole() => model.problems[0].text.clone(),
        Ok(_) => panic!("it is no model"),
        Err(error) => error.to_string(),
    };
    assert!(refused(folder.path()).contains("no tensor"));
    assert!(refused(&folder.path().join("nowhere")).contains("nowhere"));
    let mut cut = one();
    cut.truncate(cut.len() - 1);
    for (name, bytes) in [
        ("cut.safetensors", cut),
        ("empty.safetensors", Vec::new()),
        ("huge.safetensors", u64::MAX.to_le_bytes().to_vec()),
        (
            "text.safetensors",
            b"version https://git-lfs.github.com/spec/v1".to_vec(),
        ),
    ] {
        folder.write(name, &bytes);
        let error = refused(&folder.path().join(name));
        assert!(error.contains(name), "{error}");
    }
}
