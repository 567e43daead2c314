//! What `scripts/with-mlx` says on a machine that lacks something: the missing thing, and the cure. `docs/SETUP.md` quotes it.
//!
//! The script finds links to the machine's own tools, and programs of the test's in place of Python and cargo. Nothing is
//! downloaded. A published package has no scripts, and nothing is tested there.
#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What the script itself is made of.
const TOOLS: [&str; 20] = [
    "bash",
    "cat",
    "chmod",
    "cut",
    "dirname",
    "env",
    "flock",
    "getconf",
    "grep",
    "head",
    "mkdir",
    "mv",
    "rm",
    "sed",
    "sha256sum",
    "sleep",
    "sort",
    "tail",
    "tr",
    "uname",
];

/// A machine: a `PATH` of one folder, and a place for what is built. Gone with it.
struct Machine {
    root: PathBuf,
    target: PathBuf,
}

impl Machine {
    /// One with all that `with-mlx` asks for. Its Python says of each installation what `pip` says, and fails.
    fn new(pip: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "setup-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Relaxed)
        );
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let machine = Self {
            target: root.join("target"),
            root,
        };
        fs::create_dir_all(machine.bin()).expect("a folder of the test's own");
        for tool in TOOLS {
            if let Some(found) = find(tool) {
                symlink(found, machine.bin().join(tool)).expect("a new link");
            }
        }
        for compiler in ["cc", "c++"] {
            machine.program(compiler, "exit 0");
        }
        machine.program("cargo", "echo 'no cargo is needed here' >&2; exit 1");
        machine.program(
            "rustc",
            &format!("echo host: {}-unknown-linux-gnu", env::consts::ARCH),
        );
        machine.program("getconf", "echo glibc 2.36");
        machine.python(pip);
        machine
    }

    fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.bin().join(name);
        // A link would be written through.
        let _absent = fs::remove_file(&path);
        fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).expect("a new file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    fn python(&self, pip: &str) {
        let script =
            format!("if [[ $* == *--version* ]]; then exit 0; fi\ncat <<'LOG'\n{pip}\nLOG\nexit 1");
        self.program("python3", &script);
    }

    fn without(self, name: &str) -> Self {
        fs::remove_file(self.bin().join(name)).expect("it is there");
        self
    }

    fn with(self, name: &str, script: &str) -> Self {
        self.program(name, script);
        self
    }

    /// What the script says. It must fail.
    fn says(&self) -> Option<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/with-mlx");
        if !script.exists() {
            return None;
        }
        let said = self.root.join("said");
        // Into a file: a pipe would stay open as long as the last of the script's dots.
        let file = fs::File::create(&said).expect("a new file");
        let status = Command::new(script)
            .args(["cargo", "--version"])
            .env_clear()
            .env("PATH", self.bin())
            .env("HOME", &self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .status()
            .expect("the script starts");
        let said = fs::read_to_string(&said).expect("what it said");
        assert_eq!(status.code(), Some(1), "{said}");
        Some(said)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _left_for_cargo_clean = fs::remove_dir_all(&self.root);
    }
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let places = env::split_paths(&path).map(|folder| folder.join(tool));
    places.into_iter().find(|place| place.is_file())
}

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
