//! `--cuda`: without a card, with an old driver, and where its downloads fail.

use crate::machine::Machine;
use std::fs;
use std::path::Path;

/// Whether this machine has a card itself: then the script looks at that.
fn has_card() -> bool {
    Path::new("/dev/nvidia0").exists() || Path::new("/dev/dxg").exists()
}

#[test]
fn without_a_card_cuda_downloads_and_runs_nothing_and_ends_with_0() {
    if has_card() {
        return;
    }
    let machine = Machine::new("a download was tried");
    let Some((code, said)) = machine.with_mlx(&["--cuda", "cargo", "--version"]) else {
        return;
    };
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("there is no NVIDIA card here"), "{said}");
    assert!(said.contains("--pack DIR"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!machine.target.exists(), "nothing was made");
}

#[test]
fn options_that_go_with_nothing_are_refused() {
    let machine = Machine::new("");
    for (arguments, why) in [
        (&["--pack", "p", "cargo"][..], "--pack is for --cuda"),
        (&["--cuda", "--pack"], "--pack takes a folder"),
        (&["--cuda", "--pack", "", "cargo"], "--pack takes a folder"),
        (&["--pack", "--cuda", "cargo"], "--pack takes a folder"),
        (&["--cuda", "--openblas", "cargo"], "exclude each other"),
        (&["--cud", "cargo"], "unknown option --cud"),
    ] {
        let Some((code, said)) = machine.with_mlx(arguments) else {
            return;
        };
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_driver_that_is_too_old_is_named() {
    let machine = Machine::new("");
    let check = |version: &str| {
        let file = machine.root.join("version");
        fs::write(&file, version).expect("a new file");
        machine.functions(&format!(
            "driver_file='{}'; check_driver hint",
            file.display()
        ))
    };
    let gcc = "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n";
    let old =
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n";
    let Some((code, said)) = check(&format!("{old}{gcc}")) else {
        return;
    };
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("NVIDIA's driver is 550.54.15"), "{said}");
    assert!(said.contains("needs 580 or newer"), "{said}");
    assert!(said.contains("hint"), "{said}");
    let new =
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.03  Release Build\n";
    // What is not understood, as what is not there, is left to MLX.
    let other = "NVRM version: a kernel module of another kind, 550.54.15-dev\n";
    for fits in [&format!("{new}{gcc}"), "", gcc, &format!("{other}{gcc}")] {
        assert_eq!(check(fits), Some((Some(0), String::new())));
    }
    // The version of CUDA that the part outside the kernel gives: NVIDIA's forward compatibility.
    machine.program("python3", "echo 13000");
    assert_eq!(check(old), Some((Some(0), String::new())));
    machine.program("python3", "echo 12080");
    assert_eq!(check(old).expect("as before").0, Some(1));
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SETUP.md");
    let setup = fs::read_to_string(setup).expect("docs/SETUP.md");
    assert!(setup.contains("`NVIDIA's driver is 550"), "{setup}");
}

#[test]
fn a_download_of_gigabytes_needs_more_than_one_of_megabytes() {
    let machine = Machine::new("OSError: [Errno 28] No space left on device");
    for make in ["make_nvidia", "make_cuda"] {
        let Some((code, said)) = machine.functions(&format!("{make} key")) else {
            return;
        };
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the disk is full"), "{said}");
        assert!(said.contains("5 GB"), "{said}");
    }
}

#[test]
fn a_rerun_is_told_of_its_own_failure() {
    let machine = Machine::new("ERROR: No matching distribution found for X");
    for make in ["make_nvidia", "make_cuda", "make_openblas"] {
        let log = make.replace("make_", "");
        let earlier = format!("echo 'No space left on device' >\"$mlx/log/{log}.log\"; {make} key");
        let Some((_, said)) = machine.functions(&format!("wheels=none; {earlier}")) else {
            return;
        };
        assert!(
            said.contains("pip found none of the pinned wheels"),
            "{said}"
        );
        assert!(!said.contains("the disk is full"), "{said}");
    }
}
