//! Files that are not what they say: a problem that names file and matter, never a panic, never a verdict.

use crate::checkpoints::{half, header};
use crate::kit::{Folder, MIB, assert_says};
use crate::{lacking, whole};

/// What is said of a file with this header, and so many bytes behind it.
#[track_caller]
fn refused(text: &str, data: u64) -> String {
    let folder = Folder::new();
    folder.file("model.safetensors", text, data);
    let told = lacking(folder.path(), "malformed-file");
    assert!(told.contains("model.safetensors"), "{told}");
    assert!(
        !told.contains("line 1") && !told.contains("column"),
        "{told}"
    );
    told
}

#[test]
fn headers_that_are_none() {
    for text in [
        "",
        "{",
        "[]",
        "null",
        "7",
        "{\"a\":7}",
        "{\"a\":{}}",
        "\u{fffd}",
        "{\"__metadata__\":",
    ] {
        refused(text, 10);
    }
    let deep = "[".repeat(100_000);
    refused(&format!("{{\"__metadata__\":{deep}"), 10);
    refused(&format!("{{\"a\":{deep}"), 10);
    refused(
        r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        4,
    );
    refused(
        r#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#,
        4,
    );
    refused(
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}"#,
        8,
    );
    refused(
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,99999999999999999999999]}}"#,
        8,
    );
}

#[test]
fn offsets_that_lie() {
    let told = refused(
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
        4,
    );
    assert!(told.contains("ends before it begins"), "{told}");
    let told = refused(
        r#"{"a":{"dtype":"XX","shape":[1],"data_offsets":[0,18446744073709551615]}}"#,
        4,
    );
    assert!(told.contains("cut off"), "{told}");
    let told = refused(
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
            "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
        12,
    );
    assert!(told.contains("overlap"), "{told}");
    let told = refused(
        r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
        8,
    );
    assert!(told.contains("do not agree"), "{told}");
    let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}"#;
    assert!(refused(huge, 0).contains("do not agree"));
    let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
        "a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    assert!(refused(twice, 2).contains("twice"));
}

#[test]
fn tensors_of_nothing_and_scalars_are_tensors() {
    let folder = Folder::new();
    let text = r#"{"empty":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},
        "scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#;
    folder.file("model.safetensors", text, 4);
    assert_eq!(whole(folder.path()), 4);
}

#[test]
fn bytes_that_no_tensor_covers_are_no_tensors() {
    let folder = Folder::new();
    let (text, data) = header(&[half("up", 3)]);
    folder.file("model.safetensors", &text, data + 100);
    assert_eq!(whole(folder.path()), 3 * MIB);
}

#[test]
fn files_that_were_cut_off() {
    let folder = Folder::new();
    let (text, data) = header(&[half("up", 90)]);
    folder.file("model.safetensors", &text, data - 1);
    assert!(lacking(folder.path(), "malformed-file").contains("cut off"));
    for bytes in [
        &b""[..],
        b"1234567",
        &u64::MAX.to_le_bytes(),
        &1_000_000_u64.to_le_bytes(),
        b"version 1 of a text",
    ] {
        folder.write("model.safetensors", bytes);
        lacking(folder.path(), "malformed-file");
    }
}

/// The system's own files have no length and hold something all the same, as a file does that grows while it is read.
/// This one's first eight bytes are a small number.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_longer_than_it_says() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("/proc/self/auxv", folder.at("model.safetensors"))
        .expect("the link can be made");
    lacking(folder.path(), "malformed-file");
}

#[test]
fn indexes_that_lead_elsewhere_or_nowhere() {
    for index in [
        "",
        "[]",
        "{}",
        r#"{"weight_map": {"a": 7}}"#,
        r#"{"weight_map": {"a": "../secret.safetensors"}}"#,
        r#"{"weight_map": {"a": "/etc/passwd"}}"#,
        r#"{"weight_map": {"a": ".."}}"#,
        r#"{"weight_map": {"a": ""}}"#,
    ] {
        let folder = Folder::with("model-00001-of-00001.safetensors", &[half("a", 1)]);
        folder.write("model.safetensors.index.json", index);
        lacking(folder.path(), "unread-index");
    }
    let folder = Folder::with("model.safetensors", &[half("a", 1)]);
    folder.write("model_index.json", "[");
    lacking(folder.path(), "malformed-file");
}

#[test]
fn shards_that_speak_of_absurd_numbers() {
    let folder = Folder::with(
        "model-00001-of-18446744073709551615.safetensors",
        &[half("a", 1)],
    );
    folder.weights(
        "model-00001-of-99999999999999999999999.safetensors",
        &[half("b", 1)],
    );
    folder.weights("model-2-of-1.safetensors", &[half("c", 1)]);
    folder.weights("-of-.safetensors", &[half("d", 1)]);
    assert_eq!(whole(folder.path()), 4 * MIB);
    folder.weights("model-00001-of-100000.safetensors", &[half("e", 1)]);
    assert!(lacking(folder.path(), "missing-shards").contains("99999 shards"));
}

#[test]
fn configurations_that_are_none() {
    for (text, id) in [
        ("", "malformed-config"),
        ("[]", "malformed-config"),
        ("{}", "unknown-family"),
        (r#"{"model_type": 7}"#, "unknown-family"),
        (r#"{"model_type": "wombat\u001b[2J"}"#, "unknown-family"),
        (r#"{"model_type": "llama"}"#, "malformed-config"),
        (
            r#"{"model_type": "llama", "num_hidden_layers": 0}"#,
            "malformed-config",
        ),
        (
            r#"{"model_type": "llama", "hidden_size": 8, "num_attention_heads": 16, "num_hidden_layers": 1}"#,
            "malformed-config",
        ),
        (
            r#"{"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 18446744073709551615}"#,
            "malformed-config",
        ),
        (
            r#"{"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1000000}"#,
            "malformed-config",
        ),
    ] {
        let folder = Folder::with("model.safetensors", &[half("a", 1)]);
        folder.write("config.json", text);
        let told = lacking(folder.path(), id);
        assert!(told.contains("config.json"), "{told}");
    }
}

#[test]
fn the_largest_numbers_of_a_configuration_do_not_wrap() {
    let folder = Folder::with("model.safetensors", &[half("a", 1)]);
    let most = 1_u64 << 32;
    folder.write(
        "config.json",
        format!(
            r#"{{"model_type": "deepseek_v3", "hidden_size": {most}, "num_attention_heads": {most},
            "num_hidden_layers": 4096, "kv_lora_rank": {most}, "qk_rope_head_dim": {most}, "qk_nope_head_dim": {most},
            "v_head_dim": {most}, "intermediate_size": {most}, "vocab_size": {most}, "n_routed_experts": {most},
            "moe_intermediate_size": {most}, "num_experts_per_tok": {most}}}"#
        ),
    );
    let plan = crate::ample(&crate::read(folder.path()));
    assert_eq!(
        plan.verdict,
        mlx_wired::train::estimate::Verdict::Impossible
    );
    assert_eq!(plan.estimate.bytes, u64::MAX);
    assert!(!plan.to_string().is_empty());
}

#[test]
fn what_is_told_of_absurd_files_is_bounded() {
    let sides = vec!["1"; 1_000_000].join(",");
    let told = refused(
        &format!(r#"{{"a":{{"dtype":"U8","shape":[{sides}],"data_offsets":[0,1]}}}}"#),
        1,
    );
    assert!(told.contains("1000000 sides"), "{told}");

    let folder = Folder::new();
    for n in 0..200 {
        folder.write(&format!("{n}.safetensors"), "no");
    }
    let model = crate::read(folder.path());
    assert_eq!((model.problems.len(), model.is_whole()), (51, false));

    let folder = Folder::new();
    let tensors: Vec<_> = (0..100)
        .map(|n| crate::checkpoints::tensor(&n.to_string(), &format!("T{n}"), &[1], 1))
        .collect();
    folder.weights("model.safetensors", &tensors);
    let model = crate::read(folder.path());
    assert_eq!((model.types.len(), model.types["others"].tensors), (33, 68));
    assert_eq!(whole(folder.path()), 100);
}

#[test]
fn what_is_broken_and_does_not_count_does_not_matter() {
    let folder = Folder::with("model.safetensors", &[half("up", 3)]);
    folder.write("adapters.safetensors", crate::checkpoints::pointer(700));
    assert_eq!(whole(folder.path()), 3 * MIB);
    let text = crate::ample(&crate::read(folder.path())).to_string();
    assert_says(
        &text,
        "warning: adapters.safetensors is a pointer of Git LFS",
    );
}

#[test]
fn layers_without_end_are_none() {
    for pattern in ["hybrid_override_pattern", "layers_block_type"] {
        let many: serde_json::Value = match pattern {
            "layers_block_type" => vec!["attention"; 5_000].into(),
            _ => "*".repeat(5_000).into(),
        };
        let config = serde_json::json!({
            "model_type": "nemotron_h", "hidden_size": 64, "num_attention_heads": 1, "mamba_num_heads": 1,
            "mamba_head_dim": 1, "ssm_state_size": 1, "n_groups": 1, "conv_kernel": 1, pattern: many,
        });
        let model = mlx_wired::train::estimate::Model::from_config(&config.to_string());
        assert_eq!(model.shape, None, "more layers than any model has");
    }
}
