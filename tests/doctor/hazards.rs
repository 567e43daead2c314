//! Pipes that are closed, disks that are full, and what is no regular file.

use crate::checkpoints::half;
use crate::kit::{Folder, pipe};
use crate::program::{asked, doctor, ended, has};
use std::fs::{self, File};
use std::process::Stdio;

/// With a model that goes in, and one that lacks a shard.
fn both() -> [(Folder, i32); 2] {
    let (good, bad) = (Folder::new(), Folder::new());
    good.weights("model.safetensors", &[half("up", 3)]);
    bad.sharded(&[3, 5], &[1]);
    [(good, 0), (bad, 1)]
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly_with_the_verdicts_code() {
    for (folder, code) in both() {
        for option in ["--json", "-v"] {
            let mut command = doctor([folder.path().as_os_str(), option.as_ref()]);
            let child = command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let mut child = child.expect("it can be run");
            drop(child.stdout.take());
            let output = ended(child);
            assert_eq!(output.status.code(), Some(code));
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_never_ends_well() {
    for (folder, _) in both() {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
        let mut command = doctor([folder.path()]);
        let child = command.stdout(full).stderr(Stdio::piped()).spawn();
        let output = ended(child.expect("it can be run"));
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("cannot be written"), "{told}");
        // Nor does it harm where nothing can be told at all.
        let full = || {
            File::options()
                .write(true)
                .open("/dev/full")
                .expect("Linux has it")
        };
        let mut command = doctor(["--nonsense"]);
        let child = command.stdout(full()).stderr(full()).spawn();
        assert_eq!(ended(child.expect("it can be run")).status.code(), Some(2));
    }
}

#[cfg(unix)]
#[test]
fn pipes_sockets_and_circles_of_links_hold_nobody_up() {
    type Make<'a> = &'a dyn Fn(&std::path::Path);
    let make: [(&str, Make<'_>); 4] = [
        ("a pipe", &pipe),
        ("a socket", &|path| {
            std::os::unix::net::UnixListener::bind(path).expect("it can be bound");
        }),
        ("a circle of links", &|path| {
            std::os::unix::fs::symlink(path, path).expect("it can be made");
        }),
        ("a link to nothing", &|path| {
            std::os::unix::fs::symlink("nowhere", path).expect("it can be made");
        }),
    ];
    for (what, make) in make {
        let folder = Folder::new();
        make(&folder.at("model.safetensors"));
        let (_, value) = asked([folder.path()]);
        assert_eq!(value["verdict"], "unknown", "{what}");
        assert!(has(&value, "unread-file"), "{what}: {value:#}");
        // Beside weights that are whole, and named itself.
        folder.weights("other.safetensors", &[half("up", 3)]);
        let (_, value) = asked([folder.path()]);
        assert_eq!(value["verdict"], "unknown", "{what}");
        let (_, value) = asked([folder.path().join("model.safetensors")]);
        assert_eq!(value["verdict"], "unknown", "{what}");
        // In place of the configuration.
        let folder = Folder::with("model.safetensors", &[half("up", 3)]);
        make(&folder.at("config.json"));
        let (_, value) = asked([folder.path()]);
        assert_eq!(value["verdict"], "unknown", "{what}");
        assert!(has(&value, "unread-config"), "{what}: {value:#}");
    }
}

#[cfg(unix)]
#[test]
fn what_may_not_be_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with("model.safetensors", &[half("up", 3)]);
    let file = folder.path().join("model.safetensors");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("it is ours");
    // Root may read everything.
    if File::open(&file).is_err() {
        let (_, value) = asked([folder.path()]);
        assert_eq!(value["verdict"], "unknown");
        assert!(has(&value, "unread-file"), "{value:#}");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o000)).expect("it is ours");
        let (_, value) = asked([folder.path()]);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("it is ours");
        assert!(has(&value, "unread-folder"), "{value:#}");
    }
}

#[test]
fn what_is_no_model_is_told() {
    let folder = Folder::new();
    folder.write("notes.txt", "no model");
    for (name, id) in [
        ("nowhere", "no-folder"),
        ("nowhere/deeper", "no-folder"),
        ("notes.txt", "malformed-file"),
        ("notes.txt/below", "unread-folder"),
        (".", "no-tensors"),
    ] {
        let (text, value) = asked([folder.path().join(name)]);
        assert_eq!(
            (text.code, &value["verdict"]),
            (1, &"unknown".into()),
            "{name}"
        );
        assert!(has(&value, id), "{name}: {value:#}");
        assert_eq!(value["tickets"].as_array().map(Vec::len), Some(0));
    }
}

#[test]
fn absurd_settings_are_impossible_and_add_up() {
    let folder = Folder::with("model.safetensors", &[half("up", 3)]);
    let config = include_str!("../data/configs/qwen2.5-0.5b.json");
    folder.write("config.json", config);
    let most = u64::MAX.to_string();
    let path = folder.path().to_str().expect("it is text");
    // That the items add up is looked at in each answer.
    let (_, value) = asked([path, "--context", &most, "--batch", &most]);
    assert_eq!(value["verdict"], "impossible");
    assert_eq!(value["bytes"], u64::MAX);
}

#[cfg(unix)]
#[test]
fn r42_names_are_escaped_wherever_the_doctor_prints_them() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let red = std::ffi::OsStr::from_bytes(b"red \x1b[31m \xff \xe2\x80\xae folder");
    let inner = folder.path().join(red);
    fs::create_dir(&inner).expect("it can be made");
    folder.weights(
        "clear \u{1b}[2J screen.safetensors",
        &[half("\u{1b}]0;title\u{7}", 3)],
    );
    folder.write("broken \u{9b}2J.safetensors", "no model");
    for path in [folder.path(), inner.as_path()] {
        // What is plain is looked at there.
        let (text, value) = asked([path.as_os_str(), "-v".as_ref()]);
        assert_eq!(text.code, 1);
        assert!(!text.out.contains('\u{202e}'));
        assert!(!value.to_string().contains('\u{202e}'));
    }
}
