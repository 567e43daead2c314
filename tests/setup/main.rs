//! What `scripts/with-mlx` says on a machine that lacks something: the missing thing, and the cure. `docs/SETUP.md` quotes it.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `machine.rs` | the machine that a script finds |
//! | `cuda.rs` | `--cuda` |
//! | `pack.rs` | `--pack`, and the script of a pack |
//!
//! The scripts find links to the machine's own tools, and programs of the test's in place of Python and cargo. Nothing is
//! downloaded. A published package has no scripts, and nothing is tested there.
#![cfg(target_os = "linux")]

mod cuda;
mod machine;
mod pack;

use machine::Machine;
use std::fs;
use std::path::Path;

/// The machine's failure names `all`, each in the script's own lines, and the set-up's table quotes what `quoted` says.
#[track_caller]
fn fails(machine: &Machine, quoted: &str, all: &[&str]) {
    let Some(said) = machine.says() else { return };
    // What a log said is shown too, and explains nothing by itself.
    let own: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("  | "))
        .collect();
    let own = own.join("\n");
    for words in all.iter().chain([&quoted]) {
        assert!(own.contains(words), "not said: {words:?}\n{said}");
    }
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SETUP.md");
    let setup = fs::read_to_string(setup).expect("docs/SETUP.md");
    assert!(
        setup.contains(quoted),
        "docs/SETUP.md does not quote {quoted:?}"
    );
}

#[test]
fn what_is_missing_is_named_with_its_package() {
    let missing = "something that MLX is built with is missing";
    for (tool, cure) in [
        ("python3", "python3: apt-get install python3 python3-pip"),
        ("c++", "c++: apt-get install g++"),
        ("cargo", "cargo: install Rust: https://rustup.rs"),
        ("flock", "flock: apt-get install util-linux"),
    ] {
        fails(&Machine::new("").without(tool), missing, &[cure]);
    }
    let machine = Machine::new("").with("python3", "exit 1");
    fails(&machine, "pip for", &["apt-get install python3-pip"]);
}

#[test]
fn a_machine_that_mlx_has_no_build_for_is_told_so() {
    let arch = "if [[ $1 == -m ]]; then echo riscv64; else echo Linux; fi";
    let words = ["only for x86_64 and aarch64"];
    fails(
        &Machine::new("").with("uname", arch),
        "MLX has no Linux build for",
        &words,
    );

    let libc = Machine::new("").with("getconf", "echo glibc 2.31");
    fails(&libc, "needs glibc 2.35 or newer", &["this is 2.31"]);

    let host = Machine::new("").with("rustc", "echo host: x86_64-unknown-linux-musl");
    fails(
        &host,
        "MLX's build for Linux needs",
        &["rustup default stable-"],
    );
}

#[test]
fn a_failed_download_is_told_apart_from_a_wheel_that_does_not_fit() {
    let none = "ERROR: No matching distribution found for mlx-cpu==0.32.2";
    let refused = format!("WARNING: Retrying after connection broken by 'X': /mlx-cpu/\n{none}");
    let cure = ["Run again to go on from here", "PIP_INDEX_URL"];
    fails(&Machine::new(&refused), "a download failed", &cure);
    // pip without retries does not say why it found none.
    let cure = ["PyPI is not in reach", "64-bit Python"];
    fails(
        &Machine::new(none),
        "pip found none of the pinned wheels",
        &cure,
    );
    let hashes = "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.";
    fails(
        &Machine::new(hashes),
        "a download is not the file",
        &["it was not used"],
    );
}

#[test]
fn crates_io_out_of_reach_is_told_from_a_cargo_that_is_told_to_stay_offline() {
    // Everything from PyPI has arrived.
    let arrived = "if [[ $* == *--target* ]]; then \
         while [[ $1 != --target ]]; do shift; done; mkdir -p \"$2\"; fi";
    let machine = || Machine::new("").with("python3", arrived);
    let down = "echo 'failed to download from `https://index.crates.io/config.json`' >&2; exit 1";
    fails(
        &machine().with("cargo", down),
        "a download failed",
        &["crates.io must be in reach"],
    );
    let offline = "echo \"you're using offline mode (--offline)\" >&2; exit 1";
    let cure = ["CARGO_NET_OFFLINE"];
    fails(
        &machine().with("cargo", offline),
        "cargo is told to stay offline",
        &cure,
    );
}

#[test]
fn a_place_that_cannot_be_written_or_is_full_is_named() {
    let mut machine = Machine::new("");
    machine.target = machine.bin().join("cargo");
    fails(&machine, "cannot be written", &["CARGO_TARGET_DIR"]);
    let full = "OSError: [Errno 28] No space left on device";
    fails(
        &Machine::new(full),
        "the disk is full",
        &["500 MB", "CARGO_TARGET_DIR"],
    );
}

/// The words by which a search finds the page.
#[test]
fn the_table_quotes_what_others_say() {
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SETUP.md");
    let setup = fs::read_to_string(setup).expect("docs/SETUP.md");
    for words in [
        "linker `cc` not found",
        "failed to run custom build command for `mlx-sys v0.7.0`",
        "is `cmake` not installed?",
        "Unable to find libclang",
        "unable to find utility \"metal\"",
        "undefined symbol: _ZN3mlx4core",
    ] {
        assert!(
            setup.contains(words),
            "docs/SETUP.md does not quote {words:?}"
        );
    }
}
