//! Layouts of several folders: the hub's cache, a folder for each part, checkpoints of a run, several models.

use crate::checkpoints::half;
use crate::kit::{Folder, MIB};
use crate::layouts::says;
use crate::{lacking, read, whole};
use std::os::unix::fs::symlink;

#[test]
fn the_cache_of_a_hub() {
    let folder = Folder::new();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    folder.weights("models--example--tiny/blobs/9f86d0", &[half("up", 157)]);
    folder.write("models--example--tiny/refs/main", commit);
    let model = folder.path().join("models--example--tiny");
    let link = folder.at(&format!(
        "models--example--tiny/snapshots/{commit}/model.safetensors"
    ));
    symlink("../../blobs/9f86d0", &link).expect("it can be linked");
    assert_eq!(whole(&model), 157 * MIB);
    assert_eq!(whole(model.join("snapshots").join(commit)), 157 * MIB);
    assert_eq!(whole(model.join("blobs/9f86d0")), 157 * MIB);

    // Another snapshot does not count; a cache of one model is that one, and of many none.
    assert_eq!(whole(folder.path()), 157 * MIB);
    std::fs::create_dir(folder.path().join("models--example--other")).expect("it can be made");
    folder.weights(
        "models--example--tiny/snapshots/ffff/model.safetensors",
        &[half("up", 1)],
    );
    assert_eq!(whole(&model), 157 * MIB);
    assert!(lacking(folder.path(), "many-models").contains("models--example--tiny"));

    // A link whose file is not there yet.
    std::fs::remove_file(model.join("blobs/9f86d0")).expect("it is there");
    assert!(lacking(&model, "unread-file").contains("is not there"));
}

#[test]
fn a_hub_without_a_main_that_is_there() {
    let folder = Folder::new();
    folder.write("refs/main", "eeee\n");
    folder.weights("snapshots/ffff/model.safetensors", &[half("up", 1)]);
    // A loader asks for what refs/main names.
    assert!(lacking(folder.path(), "snapshot").contains("only ffff"));
    assert_eq!(whole(folder.path().join("snapshots/ffff")), MIB);
    std::fs::remove_file(folder.path().join("refs/main")).expect("it is there");
    assert_eq!(whole(folder.path()), MIB);
    assert!(says(folder.path(), "snapshot").contains("ffff"));
    folder.weights("snapshots/dddd/model.safetensors", &[half("up", 1)]);
    lacking(folder.path(), "many-snapshots");
    // refs/main leads nowhere else.
    folder.write("refs/main", "../..");
    lacking(folder.path(), "many-snapshots");
}

fn pipeline(folder: &Folder) {
    let index = r#"{"_class_name": "Pipeline", "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"], "text_encoder": ["transformers", "CLIPTextModel"],
        "scheduler": ["diffusers", "DDIMScheduler"], "safety_checker": [null, null]}"#;
    folder.write("model_index.json", index);
    folder.write("scheduler/scheduler_config.json", "{}");
    folder.weights(
        "unet/diffusion_pytorch_model.safetensors",
        &[half("up", 211)],
    );
    folder.write("unet/config.json", "{}");
    folder.weights("vae/diffusion_pytorch_model.safetensors", &[half("up", 53)]);
    folder.weights("text_encoder/model.safetensors", &[half("up", 71)]);
}

#[test]
fn a_folder_for_each_part() {
    let folder = Folder::new();
    pipeline(&folder);
    assert_eq!(whole(folder.path()), 335 * MIB);
    let model = read(folder.path());
    let parts: Vec<_> = model
        .weights
        .iter()
        .map(|part| (part.part.as_str(), part.bytes / MIB))
        .collect();
    assert_eq!(parts, [("text_encoder", 71), ("unet", 211), ("vae", 53)]);

    // All of it in one file beside the parts, and a part in two precisions.
    folder.weights("sd_xl_base.safetensors", &[half("model.up", 330)]);
    folder.weights(
        "unet/diffusion_pytorch_model.fp16.safetensors",
        &[half("up", 211)],
    );
    assert_eq!(whole(folder.path()), 335 * MIB);
    assert!(says(folder.path(), "left-out").contains("sd_xl_base.safetensors"));

    // An index that names no parts, and none: whatever folders hold weights.
    let folder = Folder::new();
    pipeline(&folder);
    folder.write("model_index.json", r#"{"_class_name": "Pipeline"}"#);
    assert_eq!(whole(folder.path()), 335 * MIB);
    let folder = Folder::with("transformer/0.safetensors", &[half("up", 5)]);
    folder.weights("vae/0.safetensors", &[half("up", 3)]);
    assert_eq!(whole(folder.path()), 8 * MIB);
}

#[test]
fn a_part_that_is_missing() {
    let folder = Folder::new();
    pipeline(&folder);
    std::fs::remove_file(
        folder
            .path()
            .join("unet/diffusion_pytorch_model.safetensors"),
    )
    .expect("it is there");
    assert!(lacking(folder.path(), "missing-part").contains("unet"));
    std::fs::remove_dir_all(folder.path().join("unet")).expect("it is there");
    assert!(lacking(folder.path(), "missing-part").contains("unet"));
}

#[test]
fn a_part_that_is_there_by_name_alone() {
    type Make<'a> = &'a dyn Fn(&Folder);
    let make: [(&str, Make<'_>); 4] = [
        ("empty", &|_| {}),
        ("in a format that is not read", &|folder| {
            folder.write("unet/diffusion_pytorch_model.bin", [0; 700]);
        }),
        ("an index alone", &|folder| {
            folder.index_named(
                "unet/diffusion_pytorch_model.safetensors.index.json",
                &[("0.safetensors", &[half("up", 1)])],
            );
        }),
        ("a configuration that is a link to nothing", &|folder| {
            symlink("nowhere", folder.at("unet/config.json")).expect("it can be linked");
        }),
    ];
    for (what, make) in make {
        let folder = Folder::new();
        pipeline(&folder);
        let unet = folder.path().join("unet");
        std::fs::remove_dir_all(&unet).expect("it is there");
        std::fs::create_dir(&unet).expect("it can be made");
        make(&folder);
        let id = match what {
            "an index alone" => "missing-shards",
            _ => "missing-part",
        };
        assert!(lacking(folder.path(), id).contains("unet"), "{what}");
    }
}

#[test]
fn parts_that_no_index_names_and_that_lack_weights() {
    let parts = || {
        let folder = Folder::with("vae/0.safetensors", &[half("up", 3)]);
        folder.write("vae/config.json", r#"{"_class_name": "AutoencoderKL"}"#);
        folder
    };
    let folder = parts();
    folder.write("scheduler/scheduler_config.json", "{}");
    folder.write("assets/config.json", "{}");
    assert_eq!(whole(folder.path()), 3 * MIB);
    let folder = parts();
    folder.write(
        "unet/config.json",
        r#"{"_class_name": "UNet2DConditionModel"}"#,
    );
    assert!(lacking(folder.path(), "missing-part").contains("unet"));
    let folder = parts();
    folder.write("unet/config.json", "{}");
    folder.write("unet/diffusion_pytorch_model.bin", [0; 700]);
    assert!(lacking(folder.path(), "missing-part").contains("unet"));
    let folder = parts();
    symlink("nowhere", folder.at("unet")).expect("it can be linked");
    assert!(lacking(folder.path(), "missing-part").contains("unet"));
    // Files of several parts have the same names.
    let folder = parts();
    folder.write("unet/0.safetensors", "");
    assert!(lacking(folder.path(), "malformed-file").contains("0.safetensors has 0 bytes"));
    assert!(lacking(folder.path(), "malformed-file").ends_with("(in unet)"));
}

#[test]
fn downloads_that_have_not_ended() {
    for name in [
        "blobs/9f86d0.incomplete",
        "snapshots/ffff/.cache/huggingface/download/x.incomplete",
    ] {
        let folder = Folder::new();
        folder.write("refs/main", "ffff");
        folder.weights("snapshots/ffff/model.safetensors", &[half("up", 1)]);
        folder.write("blobs/9f86d0", "");
        assert_eq!(whole(folder.path()), MIB);
        folder.write(name, "");
        lacking(folder.path(), "download-unfinished");
    }
    for end in ["part", "crdownload", "0123.incomplete"] {
        let folder = Folder::with("vae.safetensors", &[half("up", 1)]);
        folder.write(&format!("model.safetensors.{end}"), "");
        assert!(lacking(folder.path(), "unread-file").contains("has not ended"));
    }
}

#[test]
fn folders_in_folders_and_links_that_lead_back() {
    let folder = Folder::with("a/b/c/d/e/model.safetensors", &[half("up", 2)]);
    folder.weights("model.safetensors", &[half("own", 1)]);
    assert_eq!(whole(folder.path()), 3 * MIB);
    for (target, name) in [(".", "self"), ("..", "up"), ("../../a", "a/b/again")] {
        symlink(target, folder.at(name)).expect("it can be linked");
    }
    assert_eq!(whole(folder.path()), 3 * MIB, "each counts once");
    // Two parts of a pipeline may be one folder.
    let folder = Folder::new();
    pipeline(&folder);
    std::fs::remove_dir_all(folder.path().join("vae")).expect("it is there");
    symlink("unet", folder.at("vae")).expect("it can be linked");
    assert_eq!(whole(folder.path()), (2 * 211 + 71) * MIB);
    let folder = Folder::with("model.safetensors", &[half("own", 1)]);
    folder.write("1/2/3/4/5/6/7/8/9/notes.txt", "");
    lacking(folder.path(), "many-folders");
}

#[test]
fn checkpoints_of_a_run() {
    let folder = Folder::with("checkpoint-500/model.safetensors", &[half("up", 9)]);
    assert_eq!(whole(folder.path()), 9 * MIB);
    folder.weights("checkpoint-1000/model.safetensors", &[half("up", 9)]);
    assert!(lacking(folder.path(), "many-checkpoints").contains("checkpoint-500"));
    folder.weights("model.safetensors", &[half("up", 9)]);
    assert_eq!(whole(folder.path()), 9 * MIB);
}

#[test]
fn folders_of_several_models() {
    let folder = Folder::new();
    for bits in ["4bit", "8bit"] {
        folder.weights(&format!("{bits}/model.safetensors"), &[half("up", 9)]);
        folder.write(
            &format!("{bits}/config.json"),
            r#"{"architectures": ["Qwen2ForCausalLM"]}"#,
        );
    }
    assert!(lacking(folder.path(), "many-models").contains("4bit, 8bit"));
    assert_eq!(read(folder.path().join("4bit")).bytes(), 9 * MIB);
}
