//! No bytes make the reader panic, hang or count more than there is.

use crate::checkpoints::{half, header};
use crate::kit::Folder;
use mlx_wired::train::estimate::{Lora, Model, Optimizer, Training, Workload, estimate, plan};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Everything that can be asked of a folder.
fn ask(folder: &Folder) -> u64 {
    let model = Model::read(folder.path()).expect("the folder is there");
    let workload = Workload::new(model.clone())
        .context(100)
        .quantised_cache(8, 64);
    let training = Training::new(Optimizer::Adam).lora(Lora::rank(8)).rows(7);
    let told = format!(
        "{}{}{}{}",
        plan(1 << 30, &workload),
        plan(0, &Workload::new(model.clone())),
        estimate(&Workload::new(model.clone()).train(training)),
        estimate(&Workload::new(model.clone()).train(Training::new(Optimizer::Sgd))),
    );
    let has_control = told.chars().any(|c| c.is_control() && c != '\n');
    assert!(!has_control, "{told:?}");
    model.bytes()
}

/// JSON that looks like a header, an index or a configuration, more or less.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_u64..9).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,9}".prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop_oneof![
            prop::sample::select(WORDS).prop_map(str::to_owned),
            "\\PC{0,9}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const WORDS: &[&str] = &[
    "dtype",
    "shape",
    "data_offsets",
    "F16",
    "U32",
    "__metadata__",
    "weight_map",
    "model_type",
    "llama",
    "gemma3",
    "deepseek_v3",
    "qwen3_next",
    "jamba",
    "text_config",
    "layer_types",
    "full_attention",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_size",
    "head_dim",
    "model-00001-of-00002.safetensors",
    "sliding_window",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 64 }))]

    /// What the format's own reader takes is taken here, with the same bytes; what is counted besides, it refuses for
    /// bytes that no tensor covers, or for a type that it does not know.
    #[test]
    fn the_formats_own_reader_agrees(
        offsets in prop::collection::vec((0_u64..12, 0_u64..12), 0..4), data in 0_u64..16
    ) {
        let mut entries = serde_json::Map::new();
        for (n, (begin, end)) in offsets.iter().enumerate() {
            let size = end.saturating_sub(*begin);
            let entry = json!({"dtype": "U8", "shape": [size], "data_offsets": [begin, end]});
            entries.insert(n.to_string(), entry);
        }
        let text = Value::Object(entries).to_string();
        let mut file = (text.len() as u64).to_le_bytes().to_vec();
        file.extend(text.as_bytes());
        file.resize(file.len() + data as usize, 0);
        let folder = Folder::new();
        folder.write("model.safetensors", &file);
        let model = Model::read(folder.path()).expect("the folder is there");
        let bytes = model.is_whole().then(|| model.bytes());
        let is_covered = model.problems.iter().all(|problem| problem.id != "uncovered-bytes");
        let theirs = safetensors::SafeTensors::deserialize(&file).ok().filter(|theirs| !theirs.is_empty());
        let theirs = theirs.map(|theirs| theirs.iter().map(|(_, tensor)| tensor.data().len() as u64).sum());
        if is_covered {
            prop_assert_eq!(bytes, theirs);
        } else {
            prop_assert_eq!(None, theirs);
        }
    }

    #[test]
    fn any_bytes_in_every_file(
        bytes in prop::collection::vec(any::<u8>(), 0..200), length in prop::option::of(0_u64..200)
    ) {
        let folder = Folder::new();
        let mut file = length.map(|length| length.to_le_bytes().to_vec()).unwrap_or_default();
        file.extend(&bytes);
        folder.write("model-00001-of-00002.safetensors", &file);
        folder.write("model.safetensors.index.json", &bytes);
        folder.write("config.json", &bytes);
        folder.write("model_index.json", &bytes);
        folder.write("refs/main", &bytes);
        prop_assert!(ask(&folder) <= file.len() as u64);
    }

    #[test]
    fn any_json_in_every_file(one in value(), two in value(), three in value(), data in 0_u64..100) {
        let folder = Folder::new();
        folder.file("model-00001-of-00002.safetensors", &one.to_string(), data);
        folder.write("model.safetensors.index.json", two.to_string());
        folder.write("config.json", three.to_string());
        folder.write("model_index.json", one.to_string());
        prop_assert!(ask(&folder) <= data);
    }

    #[test]
    fn any_byte_of_a_good_file_changed(at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<bool>()) {
        let tensors = [half("a", 1), half("b", 1)];
        let (text, data) = header(&tensors);
        let mut file = (text.len() as u64).to_le_bytes().to_vec();
        file.extend(text.as_bytes());
        let at = at.index(file.len());
        file[at] = to;
        file.resize(file.len() + if cut { 0 } else { data as usize }, 0);
        let folder = Folder::new();
        folder.write("model.safetensors", &file);
        prop_assert!(ask(&folder) <= data);
    }

    #[test]
    fn any_fields_in_a_configuration(
        family in prop::sample::select(FAMILIES), values in prop::collection::vec(any::<(u8, u64)>(), 20), odd in value()
    ) {
        let mut config = json!({"model_type": family});
        for (name, (kind, value)) in FIELDS.iter().zip(values) {
            config[name] = match kind {
                0..=150 => (value % 9).into(),
                151..=200 => (value >> 30).into(),
                201..=220 => odd.clone(),
                221..=230 => Value::Null,
                _ => value.into(),
            };
        }
        let folder = Folder::with("model.safetensors", &[half("a", 1)]);
        folder.write("config.json", config.to_string());
        ask(&folder);
        let planned = Model::from_config(&config.to_string());
        let _told = plan(1 << 30, &Workload::new(planned)).to_string();
    }
}

const FAMILIES: &[&str] = &[
    "llama",
    "gemma3_text",
    "gemma3",
    "gpt_oss",
    "exaone4",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "gpt2",
    "qwen3_next",
    "lfm2",
    "granitemoehybrid",
    "falcon_h1",
    "nemotron_h",
    "mamba",
    "jamba",
    "mixtral",
    "qwen3_moe",
];

const FIELDS: [&str; 20] = [
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_hidden_layers",
    "intermediate_size",
    "vocab_size",
    "sliding_window",
    "layer_types",
    "kv_lora_rank",
    "qk_rope_head_dim",
    "qk_nope_head_dim",
    "v_head_dim",
    "num_local_experts",
    "num_experts",
    "moe_intermediate_size",
    "n_embd",
    "n_head",
    "text_config",
    "conv_L_cache",
];
