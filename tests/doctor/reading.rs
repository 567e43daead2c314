//! What the doctor reads of a model's folder.

use crate::checkpoints::tensor;
use crate::kit::Folder;
use mlx_wired::train::estimate::Model;
use std::path::Path;

/// A file's header, before 32 bytes of data.
const ONE: &str = r#"{"__metadata__":{"format":"mlx"},
    "a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
    "b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}"#;

#[test]
fn shards_are_added_up() {
    let folder = Folder::new();
    let two = tensor("c", "BF16", &[50], 100);
    folder.file("model-00001-of-00002.safetensors", ONE, 32);
    folder.weights("model-00002-of-00002.safetensors", &[two]);
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
    let folder = Folder::new();
    folder.file("model-00001-of-00002.safetensors", ONE, 32);
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
    let folder = Folder::new();
    folder.file("weights.safetensors", ONE, 32);
    let model = Model::read(folder.path().join("weights.safetensors")).expect("it can be read");
    assert_eq!(model.bytes(), 32);
}

#[test]
fn what_is_no_model_is_refused_with_its_name() {
    let folder = Folder::new();
    // What is there is read, and what is wrong with it is told.
    let refused = |path: &Path| match Model::read(path) {
        Ok(model) if !model.is_whole() => model.problems[0].text.clone(),
        Ok(_) => panic!("it is no model"),
        Err(error) => error.to_string(),
    };
    assert!(refused(folder.path()).contains("no tensor"));
    assert!(refused(&folder.path().join("nowhere")).contains("nowhere"));
    folder.file("cut.safetensors", ONE, 31);
    folder.write("empty.safetensors", []);
    folder.write("huge.safetensors", u64::MAX.to_le_bytes());
    let pointer = "version https://git-lfs.github.com/spec/v1";
    folder.write("text.safetensors", pointer);
    for name in ["cut", "empty", "huge", "text"] {
        let name = format!("{name}.safetensors");
        let error = refused(&folder.path().join(&name));
        assert!(error.contains(&name), "{error}");
    }
}
