//! Every layout in which models are found on disks, exact to the byte.

use crate::checkpoints::{half, matrix, pointer, single, tensor};
use crate::kit::{Folder, MIB, assert_says, pipe};
use crate::{ample, lacking, read, whole};

pub(crate) fn says(path: impl AsRef<std::path::Path>, id: &str) -> String {
    let model = read(path);
    let problem = model.problems.iter().find(|problem| problem.id == id);
    problem
        .unwrap_or_else(|| panic!("no {id} in {:#?}", model.problems))
        .text
        .clone()
}

#[test]
fn one_file_of_a_folder_or_by_itself() {
    let folder = Folder::with(
        "model.safetensors",
        &[half("up", 150), tensor("norm", "F32", &[3], 12)],
    );
    assert_eq!(whole(folder.path()), 150 * MIB + 12);
    assert_eq!(
        whole(folder.path().join("model.safetensors")),
        150 * MIB + 12
    );
    let model = read(folder.path());
    assert_eq!((model.weights[0].files, model.weights[0].tensors), (1, 2));
    assert_eq!(model.largest, Some(("up".to_owned(), 150 * MIB)));
    assert_eq!(model.types["F32"].bytes, 12);
}

#[test]
fn shards_with_an_index_and_without() {
    let folder = Folder::new();
    folder.sharded(&[101, 103, 107], &[]);
    assert_eq!(whole(folder.path()), 311 * MIB);

    let folder = Folder::new();
    // As DeepSeek numbers them.
    folder.weights("model-00001-of-000002.safetensors", &[half("a", 7)]);
    folder.weights("model-00002-of-000002.safetensors", &[half("b", 9)]);
    assert_eq!(whole(folder.path()), 16 * MIB);
}

#[test]
fn a_shard_that_is_missing_is_named() {
    let folder = Folder::new();
    folder.sharded(&[101, 103, 107], &[1]);
    let text = lacking(folder.path(), "missing-shards");
    assert!(text.contains("model-00002-of-00003.safetensors"), "{text}");
    assert_eq!(read(folder.path()).bytes(), 208 * MIB);

    let folder = Folder::new();
    folder.sharded(&[101, 103], &[0, 1]);
    let text = lacking(folder.path(), "missing-shards");
    assert_says(&text, "2 shards");
    assert_says(&text, "model-00001-of-00002.safetensors");

    let folder = Folder::with("model-00002-of-00003.safetensors", &[half("b", 9)]);
    let text = lacking(folder.path(), "missing-shards");
    assert_says(
        &text,
        "2 shards: model-00001-of-00003, model-00003-of-00003",
    );
}

#[test]
fn an_index_and_shards_of_different_versions() {
    let folder = Folder::new();
    let (a, b) = (half("a", 1), half("b", 2));
    folder.index(&[
        ("x.safetensors", &[a.clone(), half("gone", 1)]),
        ("y.safetensors", std::slice::from_ref(&b)),
    ]);
    folder.weights("x.safetensors", &[a]);
    folder.weights("y.safetensors", &[b]);
    let text = lacking(folder.path(), "missing-tensors");
    assert!(text.contains("1 tensor") && text.contains("gone"), "{text}");
}

#[test]
fn a_tensor_in_two_shards_counts_once() {
    let folder = Folder::with(
        "model-00001-of-00002.safetensors",
        &[half("a", 7), half("both", 3)],
    );
    folder.weights(
        "model-00002-of-00002.safetensors",
        &[half("b", 9), half("both", 3)],
    );
    assert_eq!(whole(folder.path()), 19 * MIB);
    assert!(says(folder.path(), "tensors-twice").contains("1 tensor"));
}

#[test]
fn the_same_weights_consolidated_beside_the_shards() {
    let folder = Folder::new();
    folder.sharded(&[97, 89], &[]);
    // Under names of their own, as Mistral publishes them.
    folder.weights(
        "consolidated.safetensors",
        &[half("wq", 100), half("wk", 86)],
    );
    assert_eq!(whole(folder.path()), 186 * MIB);

    // As Meta publishes them.
    folder.weights("original/consolidated.safetensors", &[half("wq", 186)]);
    assert_eq!(whole(folder.path()), 186 * MIB);

    let folder = Folder::with("consolidated.00.safetensors", &[half("wq", 100)]);
    folder.weights("consolidated.01.safetensors", &[half("wk", 86)]);
    assert_eq!(whole(folder.path()), 186 * MIB);
}

#[test]
fn what_is_consolidated_beside_a_part_of_it_counts() {
    let folder = Folder::with("mm_projector.safetensors", &[half("projector", 2)]);
    folder.weights("consolidated.safetensors", &[half("wq", 186)]);
    assert_eq!(whole(folder.path()), 188 * MIB);

    let folder = Folder::with("mm_projector.safetensors", &[half("projector", 2)]);
    folder.weights("original/consolidated.safetensors", &[half("wq", 186)]);
    assert_eq!(whole(folder.path()), 188 * MIB);

    // In another precision it is as many numbers still.
    let folder = Folder::new();
    folder.sharded(&[97, 89], &[]);
    folder.weights("consolidated.safetensors", &[single("wq", 2 * 186)]);
    assert_eq!(whole(folder.path()), 186 * MIB);
}

#[test]
fn the_same_tensors_in_two_precisions_and_a_copy() {
    let folder = Folder::new();
    let narrow = [tensor("up", "F16", &[25 * MIB], 50 * MIB)];
    folder.weights(
        "model.safetensors",
        &[tensor("up", "F32", &[25 * MIB], 100 * MIB)],
    );
    folder.weights("model.fp16.safetensors", &narrow);
    folder.weights("fp16/model.safetensors", &narrow);
    assert_eq!(whole(folder.path()), 100 * MIB);
}

#[test]
fn a_rest_of_an_earlier_download_beside_a_whole_file() {
    let folder = Folder::new();
    folder.sharded(&[11, 13], &[1]);
    let all = [
        half("0.up", 10),
        half("0.down", 1),
        half("1.up", 12),
        half("1.down", 1),
    ];
    folder.weights("model.safetensors", &all);
    assert_eq!(whole(folder.path()), 24 * MIB);
    assert!(says(folder.path(), "rest-of-download").contains("index.json"));
}

#[test]
fn parts_with_the_same_names_and_other_shapes_are_parts() {
    let folder = Folder::with("clip_l.safetensors", &[half("layers.0", 5)]);
    folder.weights(
        "clip_g.safetensors",
        &[half("layers.0", 20), half("layers.1", 20)],
    );
    assert_eq!(whole(folder.path()), 45 * MIB);
}

#[test]
fn a_pointer_in_place_of_the_file() {
    let folder = Folder::new();
    folder.write("model.safetensors", pointer(4_976_698_672));
    let text = lacking(folder.path(), "lfs-pointer");
    assert_says(&text, "LFS");
    assert_says(&text, "model.safetensors");
    assert_says(&text, "4.63 GiB");

    let folder = Folder::new();
    folder.write("model.safetensors.index.json", pointer(9_000));
    assert!(lacking(folder.path(), "unread-index").contains("LFS"));
    let folder = Folder::with("model.safetensors", &[half("up", 1)]);
    folder.write("config.json", pointer(700));
    assert!(lacking(folder.path(), "unread-config").contains("LFS"));
}

#[test]
fn types_that_are_newer_than_the_reader() {
    let folder = Folder::new();
    let tensors = [
        tensor("up", "BF16", &[61 * MIB / 2], 61 * MIB),
        tensor("down", "I4", &[62 * MIB], 31 * MIB),
        tensor("gate", "F4", &[34 * MIB], 17 * MIB),
        tensor("packed", "U8", &[5, MIB], 5 * MIB),
        tensor("scales", "MXFP4", &[14 * MIB], 7 * MIB),
        tensor("eight", "F8_E4M3", &[3 * MIB], 3 * MIB),
        tensor("wide", "F8_E5M2", &[2 * MIB], 2 * MIB),
    ];
    folder.weights("model.safetensors", &tensors);
    assert_eq!(whole(folder.path()), 126 * MIB);
    let model = read(folder.path());
    assert_eq!(model.types["MXFP4"].bytes, 7 * MIB);
    let text = says(folder.path(), "types");
    assert!(
        ["I4", "F4", "MXFP4", "F8_E5M2"]
            .iter()
            .all(|name| text.contains(name)),
        "{text}"
    );
    assert!(says(folder.path(), "types-of-eight-bits").contains("F8_E4M3"));
}

#[test]
fn an_adapter_beside_its_base_and_alone() {
    let adapter = [half("up.lora_A", 5), half("up.lora_B", 6)];
    for name in [
        "adapter_model.safetensors",
        "adapters.safetensors",
        "style.safetensors",
    ] {
        let folder = Folder::with("model.safetensors", &[half("up", 181)]);
        folder.weights(name, &adapter);
        assert_eq!(whole(folder.path()), 181 * MIB);
        assert!(says(folder.path(), "adapter").contains(name));
    }
    // In a folder of their own, as mlx-lm keeps several.
    let folder = Folder::new();
    for name in [
        "adapters/adapters.safetensors",
        "adapters/0000100_adapters.safetensors",
    ] {
        folder.weights(name, &adapter);
    }
    folder.weights("model.safetensors", &[half("up", 181)]);
    assert_eq!(whole(folder.path()), 181 * MIB);
    let folder = Folder::with("adapter_model.safetensors", &adapter);
    assert_eq!(
        whole(folder.path().join("adapter_model.safetensors")),
        11 * MIB
    );
    assert!(lacking(folder.path(), "adapter-alone").contains("base"));
}

#[test]
fn names_that_have_the_letters_of_an_adapter_by_chance_are_none() {
    let folder = Folder::with("model.safetensors", &[half("up", 181)]);
    folder.weights("critic.safetensors", &[half("exploration.critic", 20)]);
    assert_eq!(whole(folder.path()), 201 * MIB);
    // As diffusers, kohya and mlx-lm write theirs.
    for name in [
        "to_q_lora.down.weight",
        "lora_unet_up.alpha",
        "layers.0.q_proj.lora_a",
    ] {
        let folder = Folder::with("model.safetensors", &[half("up", 181)]);
        folder.weights("style.safetensors", &[half(name, 20)]);
        assert_eq!(whole(folder.path()), 181 * MIB);
    }
}

#[test]
fn folders_and_pipes_named_like_files() {
    let folder = Folder::with("weights.safetensors", &[half("up", 139)]);
    std::fs::create_dir(folder.path().join("model.safetensors")).expect("it can be made");
    assert_eq!(whole(folder.path()), 139 * MIB);

    let path = folder.path().join("pipe.safetensors");
    pipe(&path);
    assert!(lacking(folder.path(), "unread-file").contains("pipe"));
    assert!(lacking(&path, "unread-file").contains("pipe"));
    folder.remove("pipe.safetensors");
    // In a file's place beside the weights, a pipe must not hold the reader up either.
    pipe(&folder.at("config.json"));
    lacking(folder.path(), "unread-config");
}

#[test]
fn r42_names_with_escape_sequences_are_never_told_raw() {
    let folder = Folder::new();
    let name = "red \u{1b}[31m/clear \u{1b}[2J screen.safetensors";
    folder.weights(name, &[half("\u{1b}]0;title\u{7}", 83)]);
    folder.write("red \u{1b}[31m/broken \u{1b}[2J.safetensors", "no");
    let path = folder.path().join("red \u{1b}[31m");
    let text = lacking(&path, "malformed-file");
    assert!(text.contains("broken \\u{1b}[2J.safetensors"), "{text}");
    let model = read(&path);
    assert_eq!(
        model.largest,
        Some(("\\u{1b}]0;title\\u{7}".to_owned(), 83 * MIB))
    );
    // The part's folder, too.
    let text = ample(&read(folder.path())).to_string();
    assert!(
        text.contains("red \\u{1b}[31m") && !text.contains('\u{1b}'),
        "{text:?}"
    );
    let error =
        mlx_wired::train::estimate::Model::read("no \u{1b}[2J").expect_err("nothing is there");
    assert!(error.to_string().contains("no \\u{1b}[2J"), "{error}");
    assert!(error.to_string().len() <= 160);
}

#[test]
fn formats_that_are_not_read_are_named() {
    for name in [
        "model.gguf",
        "weights.npz",
        "pytorch_model.bin",
        "consolidated.00.pth",
    ] {
        let folder = Folder::new();
        folder.write(name, [0; 700]);
        assert!(lacking(folder.path(), "other-format").contains(name));
        // Beside a model in the format it is another form of the same, most often: MLX reads but two of them.
        folder.weights("model.safetensors", &[half("up", 2)]);
        if name.ends_with("gguf") || name.ends_with("npz") {
            assert!(lacking(folder.path(), "other-format").contains(name));
            assert_eq!(whole(folder.path().join("model.safetensors")), 2 * MIB);
        } else {
            assert_eq!(whole(folder.path()), 2 * MIB);
            assert!(says(folder.path(), "other-format").contains(name));
        }

        // In a folder below it is told, too.
        let folder = Folder::with("model.safetensors", &[half("up", 2)]);
        let below = format!("below/{name}");
        folder.write(&below, [0; 700]);
        assert!(says(folder.path(), "other-format").contains(&below));
        let is_whole = read(folder.path()).is_whole();
        assert_eq!(is_whole, !name.ends_with("gguf") && !name.ends_with("npz"));
    }
    let folder = Folder::new();
    folder.write("model.gguf", [0; 700]);
    lacking(folder.path().join("model.gguf"), "other-format");
}

#[test]
fn nothing_that_could_be_counted() {
    let folder = Folder::new();
    lacking(folder.path(), "no-tensors");
    folder.weights("model.safetensors", &[]);
    lacking(folder.path(), "no-tensors");
    folder.write(".hidden.safetensors", "what macOS leaves");
    lacking(folder.path(), "no-tensors");
    lacking("/dev/null", "unread-file");
}

#[test]
fn one_shard_by_itself_is_one_shard() {
    let folder = Folder::new();
    folder.sharded(&[3, 4], &[]);
    let shard = folder.path().join("model-00001-of-00002.safetensors");
    assert!(lacking(&shard, "one-shard").contains("one of 2"));
    assert_eq!(read(&shard).bytes(), 3 * MIB);
    let index = folder.path().join("model.safetensors.index.json");
    assert!(lacking(index, "malformed-file").contains("no file of weights"));
}

#[test]
fn an_index_that_is_no_file() {
    type Make<'a> = &'a dyn Fn(&std::path::Path);
    let make: [Make<'_>; 4] = [
        &|path| std::os::unix::fs::symlink("nowhere", path).expect("it can be linked"),
        &|path| std::os::unix::fs::symlink(path, path).expect("it can be linked"),
        &|path| std::fs::create_dir(path).expect("it can be made"),
        &pipe,
    ];
    for make in make {
        let folder = Folder::with("weights.safetensors", &[half("up", 3)]);
        make(&folder.at("model.safetensors.index.json"));
        assert!(lacking(folder.path(), "unread-file").contains("index.json"));
    }
}

#[test]
fn another_format_that_cannot_be_the_same_weights() {
    let folder = Folder::with("projector.safetensors", &[half("projector", 1)]);
    let bin = std::fs::File::create(folder.at("pytorch_model.bin")).expect("it can be made");
    bin.set_len(8 * MIB).expect("it can be sparse");
    assert_eq!(whole(folder.path()), MIB);
    bin.set_len(9 * MIB).expect("it can be sparse");
    lacking(folder.path(), "other-format");
}

#[test]
fn thousands_of_files_are_compared_in_time() {
    let folder = Folder::new();
    for n in 0..5_000 {
        folder.weights(
            &format!("{n}.safetensors"),
            &[tensor(&n.to_string(), "U8", &[1], 1)],
        );
    }
    let begin = std::time::Instant::now();
    assert_eq!(whole(folder.path()), 5_000);
    // Each with each takes minutes.
    assert!(begin.elapsed() < std::time::Duration::from_secs(30));
}

#[test]
fn quantised_weights_as_mlx_lm_writes_them() {
    let folder = Folder::new();
    let tensors = [
        tensor("q_proj.weight", "U32", &[896, 112], 896 * 112 * 4),
        matrix("q_proj.scales", 896, 14),
        matrix("q_proj.biases", 896, 14),
        single("norm", 1),
    ];
    folder.weights("model.safetensors", &tensors);
    assert_eq!(whole(folder.path()), 896 * (112 * 4 + 28 + 28) + MIB);
}
