//! Verdicts on folders, for people and for programs.

use crate::checkpoints::{half, matrix, pointer, tensor};
use crate::kit::{Folder, MIB};
use crate::program::{asked, doctor, has, said};
use serde_json::{Value, json};

/// A small network of a known family: four layers of width 256.
fn network(folder: &Folder) {
    let mut tensors = vec![matrix("model.embed_tokens.weight", 1000, 256)];
    for layer in 0..4 {
        for (name, out) in [
            ("q_proj", 256),
            ("k_proj", 128),
            ("v_proj", 128),
            ("o_proj", 256),
        ] {
            let name = format!("model.layers.{layer}.self_attn.{name}.weight");
            tensors.push(matrix(&name, out, 256));
        }
    }
    folder.weights("model.safetensors", &tensors);
    let config = json!({"model_type": "llama", "hidden_size": 256, "intermediate_size": 512,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
        "max_position_embeddings": 4096, "vocab_size": 1000});
    folder.write("config.json", config.to_string());
}

/// The bytes of the items of that kind.
fn item(value: &Value, id: &str) -> u64 {
    let items = value["items"].as_array().expect("a list").iter();
    let bytes = items
        .filter(|item| item["id"] == id)
        .map(|item| item["bytes"].as_u64());
    bytes.map(|bytes| bytes.expect("whole")).sum()
}

fn with<'a>(folder: &'a Folder, options: &'a [&'a str]) -> Vec<&'a std::ffi::OsStr> {
    let folder = folder.path().as_os_str();
    std::iter::once(folder)
        .chain(options.iter().map(AsRef::as_ref))
        .collect()
}

#[test]
fn what_goes_in_is_said_with_what_adds_up_to_it() {
    let folder = Folder::with("model.safetensors", &[half("up", 150), half("down", 43)]);
    let (text, value) = asked([folder.path()]);
    assert_eq!(
        (&value["verdict"], &value["bytes"]),
        (&"fits".into(), &(193 * MIB).into())
    );
    assert_eq!(value["items"][0]["exact"], true);
    // In this order: verdict, items, what to write, the machine.
    let places = ["ok fits: 193 MiB of", "together", "write:", "machine:"];
    let places = places.map(|it| {
        text.out
            .find(it)
            .unwrap_or_else(|| panic!("{it}: {}", text.out))
    });
    assert!(places.is_sorted(), "{}", text.out);
    assert!(
        text.out.contains("the weights alone are counted"),
        "{}",
        text.out
    );
    assert!(
        text.out.contains("policy.ticket(202375168)"),
        "{}",
        text.out
    );
}

#[test]
fn what_is_missing_or_unread_is_never_said_to_go_in() {
    type Make<'a> = &'a dyn Fn(&Folder);
    let make: [(&str, Make<'_>); 7] = [
        ("missing-shards", &|folder| folder.sharded(&[3, 5, 7], &[1])),
        ("missing-shards", &|folder| folder.sharded(&[3, 5], &[0, 1])),
        ("lfs-pointer", &|folder| {
            folder.write("model.safetensors", pointer(4_976_698_672))
        }),
        ("malformed-file", &|folder| {
            folder.weights("model.safetensors", &[half("up", 3)]);
            folder.write("other.safetensors", "no model");
        }),
        ("unread-index", &|folder| {
            folder.weights("model.safetensors", &[half("up", 3)]);
            folder.write("model.safetensors.index.json", "{");
        }),
        ("malformed-config", &|folder| {
            folder.weights("model.safetensors", &[half("up", 3)]);
            folder.write("config.json", "{");
        }),
        ("missing-part", &|folder| {
            folder.weights("vae/model.safetensors", &[half("up", 3)]);
            let index = r#"{"vae": ["a", "b"], "unet": ["a", "b"]}"#;
            folder.write("model_index.json", index);
        }),
    ];
    for (id, make) in make {
        let folder = Folder::new();
        make(&folder);
        for options in [
            &[][..],
            &["--train", "sgd", "--step", "1MiB"],
            &["--context", "100"],
        ] {
            let (text, value) = asked(with(&folder, options));
            assert_eq!(text.code, 1);
            assert_eq!(value["verdict"], "unknown", "{id}");
            assert!(has(&value, id), "no {id} with {options:?} in {value:#}");
            let items = value["items"].as_array().expect("a list");
            let exact = items
                .iter()
                .any(|item| item["id"] == "weights" && item["exact"] == true);
            assert!(!exact || id == "malformed-config", "{value:#}");
            assert_eq!(value["tickets"].as_array().map(Vec::len), Some(0));
        }
    }
}

#[test]
fn what_is_too_large_says_by_how_much_and_what_would_do() {
    let folder = Folder::with("model.safetensors", &[half("up", 8 << 20)]);
    let (text, value) = asked([folder.path()]);
    assert_eq!((text.code, &value["verdict"]), (1, &"impossible".into()));
    assert!(has(&value, "too-large"));
    assert!(text.out.contains(" more than "), "{}", text.out);
    assert!(
        text.out.contains("or a machine that leaves"),
        "{}",
        text.out
    );
    assert_eq!(value["left"], 0);
}

#[test]
fn context_and_batch_count() {
    let folder = Folder::new();
    network(&folder);
    // Keys and values: sequences x layers x tokens x 2 x 2 heads x 64 numbers of 2 bytes.
    let cache = |options: &[&str]| {
        let (text, value) = asked(with(&folder, options));
        assert_eq!(text.code, 0, "{}", text.out);
        (item(&value, "kv-cache"), value)
    };
    assert_eq!(
        cache(&["--context", "1024", "--batch", "3"]).0,
        3 * 4 * 1024 * 512
    );
    let (bytes, value) = cache(&[]);
    assert_eq!(bytes, 4 * 4096 * 512, "the model's longest");
    assert_eq!(value["settings"]["context"], 4096);
    let (_, value) = cache(&["--context", "1_000_000"]);
    assert!(has(&value, "long-context"), "{value:#}");
    // Where nothing is known of the cache, nothing is said to go in with one.
    let alone = Folder::new();
    alone.weights("model.safetensors", &[half("up", 3)]);
    let (text, value) = asked(with(&alone, &["--context", "1024"]));
    assert_eq!((text.code, &value["verdict"]), (1, &"unknown".into()));
    assert!(has(&value, "item-unknown"), "{value:#}");
}

#[test]
fn training_is_unknown_until_a_step_was_measured() {
    let folder = Folder::new();
    network(&folder);
    let numbers = 1000 * 256 + 4 * (256 + 128 + 128 + 256) * 256;
    for (optimizer, state) in [
        ("sgd", 17 * 4),
        ("momentum", 4 * numbers),
        ("adam", 8 * numbers),
        ("adamw", 8 * numbers),
    ] {
        let (text, value) = asked(with(&folder, &["--train", optimizer, "--batch", "4"]));
        assert_eq!((text.code, &value["verdict"]), (1, &"unknown".into()));
        assert!(has(&value, "step-not-measured"), "{value:#}");
        assert_eq!(item(&value, "optimizer-state"), state, "{optimizer}");
        assert_eq!(item(&value, "trained-weights"), 4 * numbers);
        assert!(text.out.contains("--batch 4 --step BYTES"), "{}", text.out);
        assert!(
            text.out.contains("Measuring::new(\"step\")"),
            "{}",
            text.out
        );
        let options = ["--train", optimizer, "--batch", "4", "--step", "64MiB"];
        let (text, value) = asked(with(&folder, &options));
        assert_eq!(
            (text.code, &value["verdict"]),
            (0, &"fits".into()),
            "{}",
            text.out
        );
        assert_eq!(item(&value, "step"), 64 * MIB);
    }
}

#[test]
fn adapters_are_counted_by_their_rank_matrices_and_layers() {
    let folder = Folder::new();
    network(&folder);
    let adapters = |options: &[&str]| {
        let options = [&["--train", "adamw", "--step", "1MiB"], options].concat();
        let (text, value) = asked(with(&folder, &options));
        assert_eq!(text.code, 0, "{}", text.out);
        item(&value, "trained-weights")
    };
    // Rank x (rows + columns) x 4 bytes.
    assert_eq!(
        adapters(&["--lora", "8", "--lora-matrices", "q_proj"]),
        4 * 8 * 512 * 4
    );
    let both = [
        "--lora",
        "4",
        "--lora-matrices",
        "q_proj,k_proj",
        "--lora-layers",
        "1",
    ];
    assert_eq!(adapters(&both), 4 * (512 + 384) * 4);
    let none = [
        "--train",
        "sgd",
        "--step",
        "1MiB",
        "--lora",
        "8",
        "--lora-matrices",
        "nothing",
    ];
    let (text, value) = asked(with(&folder, &none));
    assert_eq!(text.code, 1);
    assert!(has(&value, "lora-nothing"), "{value:#}");
}

/// All but what depends on this machine's memory.
#[test]
fn the_readme_says_what_is_said() {
    let readme = include_str!("../../README.md");
    let (_, block) = readme.split_once("<!-- doctor -->").expect("it is marked");
    let (_, block) = block.split_once("```text\n").expect("it begins");
    let (block, _) = block.split_once("```").expect("it ends");
    let is_of_the_model = |line: &&str| !line.starts_with("ok") && !line.contains("at most");
    let lines: Vec<&str> = block.lines().filter(is_of_the_model).collect();
    assert!(lines.len() > 5, "{block}");

    let folder = Folder::new();
    let config = include_str!("../data/configs/qwen2.5-0.5b.json");
    folder.write("Qwen2.5-0.5B/config.json", config);
    // As many tensors and numbers as it has.
    let numbers = |n: u64| if n == 0 { 494_032_768 - 289 } else { 1 };
    let tensors = (0..290).map(|n| tensor(&n.to_string(), "BF16", &[numbers(n)], 2 * numbers(n)));
    let tensors: Vec<_> = tensors.collect();
    folder.weights("Qwen2.5-0.5B/model.safetensors", &tensors);
    let mut command = doctor(["--context", "8192", "--batch", "4", "Qwen2.5-0.5B"]);
    command.current_dir(folder.path());
    let told = said(command);
    for line in lines {
        assert!(told.out.contains(&format!("{line}\n")), "not said: {line}");
    }
}

#[test]
fn notes_are_named_and_told_when_asked_for() {
    let folder = Folder::with("model.safetensors", &[half("up", 181)]);
    folder.weights(
        "adapter_model.safetensors",
        &[half("up.lora_A", 5), half("up.lora_B", 6)],
    );
    let (short, value) = asked([folder.path()]);
    assert!(has(&value, "adapter"), "{value:#}");
    let notes = value["problems"].as_array().expect("a list").iter();
    let notes: Vec<&str> = notes.filter_map(|note| note["text"].as_str()).collect();
    let (long, _) = asked([folder.path().as_os_str(), "-v".as_ref()]);
    assert!(short.out.contains("adapter"), "{}", short.out);
    for note in notes {
        assert!(!short.out.contains(note), "{}", short.out);
        assert!(long.out.contains(note), "{}", long.out);
    }
    assert!(
        long.out.contains("F16: 181 MiB in 1 tensor\n"),
        "{}",
        long.out
    );
}
