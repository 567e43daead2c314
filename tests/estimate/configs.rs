//! Configurations: published ones, and small ones of every kind of cache.

use mlx_wired::train::estimate::Model;
use serde_json::{Value, json};

pub(crate) const QWEN: &str = include_str!("../data/configs/qwen2.5-0.5b.json");
pub(crate) const GEMMA: &str = include_str!("../data/configs/gemma-3-270m.json");
pub(crate) const DEEPSEEK: &str = include_str!("../data/configs/deepseek-v2-lite.json");

/// A configuration with these fields beside what all have.
pub(crate) fn config(family: &str, fields: Value) -> String {
    let mut config = json!({
        "model_type": family, "hidden_size": 512, "num_attention_heads": 8, "num_key_value_heads": 2,
        "num_hidden_layers": 4, "intermediate_size": 1024, "vocab_size": 1000, "torch_dtype": "bfloat16"
    });
    let all = config.as_object_mut().expect("it is an object");
    for (name, value) in fields.as_object().expect("they are an object") {
        all.insert(name.clone(), value.clone());
    }
    config.to_string()
}

/// The same as a model that is not here yet.
pub(crate) fn model(text: &str) -> Model {
    Model::from_config(text)
}

#[test]
fn weights_of_published_models_are_counted_from_their_configuration_alone() {
    for (text, numbers) in [
        (QWEN, 494_032_768),
        (GEMMA, 268_098_176),
        (DEEPSEEK, 15_706_484_224),
    ] {
        let model = model(text);
        assert!(model.is_whole(), "{:?}", model.problems);
        assert_eq!(model.bytes(), 2 * numbers);
    }
}

#[test]
fn weights_have_the_type_that_their_configuration_names() {
    let types = |dtype| model(&config("qwen3", json!({"torch_dtype": dtype}))).types;
    let (halves, singles) = (types("bfloat16"), types("float32"));
    assert!(halves.keys().eq(["BF16"]) && singles.keys().eq(["F32"]));
    assert_eq!(singles["F32"].bytes, 2 * halves["BF16"].bytes);
}

#[test]
fn weights_of_other_families_are_not() {
    let model = model(&config("starcoder2", json!({})));
    assert!(!model.is_whole());
    assert_eq!(model.problems[0].id, "weights-not-counted");
}
