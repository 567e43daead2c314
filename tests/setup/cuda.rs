//! `--cuda` on a machine without a card, what `--pack` refuses, and the script of a pack.

use crate::machine::Machine;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// A pack as `--pack` writes it, of one program that prints its arguments, on a machine whose Python has NVIDIA's packages.
struct Pack {
    machine: Machine,
    folder: PathBuf,
}

impl Pack {
    fn new() -> Option<Self> {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mlx/pack-start");
        let template = fs::read_to_string(template).ok()?;
        let machine = Machine::new("");
        let (made, folder) = (machine.root.join("made"), machine.root.join("pack"));
        for it in ["made/programs", "made/mlx/lib", "nvidia/cu13/lib", "pack"] {
            fs::create_dir_all(machine.root.join(it)).expect("a new folder");
        }
        let program = "#!/usr/bin/env bash\nprintf 'arguments: %s|' \"$@\"\n";
        fs::write(made.join("programs/train"), program).expect("a new file");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(made.join("programs/train"), mode).expect("its mode");
        let all = "program train --quick 'two words'\n";
        fs::write(made.join("commands"), all).expect("a new file");
        let archive = folder.join("part.00");
        let tar = Command::new("tar")
            .arg("-czf")
            .args([&archive, Path::new("-C"), &made])
            .args(["mlx", "commands", "programs"])
            .status();
        assert!(tar.expect("tar").success());
        // In two parts, as a large one.
        let bytes = fs::read(&archive).expect("the archive");
        let (one, other) = bytes.split_at(bytes.len() / 2);
        fs::write(&archive, one).expect("the first part");
        fs::write(folder.join("part.01"), other).expect("the second part");
        let sum = Command::new("sha256sum")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let mut sum = sum.expect("sha256sum");
        std::io::Write::write_all(&mut sum.stdin.take().expect("its input"), &bytes)
            .expect("it reads");
        let sum = sum.wait_with_output().expect("it ends").stdout;
        let sum = String::from_utf8_lossy(&sum)
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        let start = template.replacen("\nsum=\n", &format!("\nsum={sum}\n"), 1);
        machine.program_at(&folder.join("start"), &start);
        let pack = Self { machine, folder };
        let nvidia = pack.machine.root.join("nvidia");
        pack.python(&format!(
            "if [[ $1 == - ]]; then echo {}; fi",
            nvidia.display()
        ));
        Some(pack)
    }

    fn python(&self, script: &str) {
        self.machine.program("python3", script);
    }

    fn start(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.machine.run(&self.folder.join("start"), arguments)
    }

    #[track_caller]
    fn fails(&self, words: &[&str]) {
        let (code, said) = self.start(&[]);
        assert_eq!(code, Some(1), "{said}");
        for word in words {
            assert!(said.contains(word), "not said: {word:?}\n{said}");
        }
    }
}

#[test]
fn a_pack_runs_what_was_packed_or_one_program_with_other_arguments() {
    let Some(pack) = Pack::new() else { return };
    let packed = (
        Some(0),
        "arguments: --quick|arguments: two words|".to_owned(),
    );
    assert_eq!(pack.start(&[]), packed);
    let other = (Some(0), "arguments: --threads|arguments: 8|".to_owned());
    assert_eq!(pack.start(&["train", "--threads", "8"]), other);
    let link = fs::read_link(pack.folder.join("unpacked/nvidia")).expect("a link beside MLX");
    assert_eq!(link, pack.machine.root.join("nvidia"));
    let (code, said) = pack.start(&["trian"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no program trian"), "{said}");
    assert_eq!(
        pack.start(&["--list"]).1,
        "program train --quick 'two words'\n"
    );
}

#[test]
fn a_pack_that_is_not_whole_is_not_used() {
    let Some(pack) = Pack::new() else { return };
    let part = pack.folder.join("part.01");
    let mut bytes = fs::read(&part).expect("a part");
    bytes[0] ^= 1;
    fs::write(&part, &bytes).expect("the damaged part");
    pack.fails(&["a part is missing or damaged", "copy them all again"]);
    fs::remove_file(&part).expect("it is there");
    pack.fails(&["a part is missing or damaged"]);
    fs::remove_file(pack.folder.join("part.00")).expect("it is there");
    pack.fails(&["the parts are missing"]);
    assert!(!pack.folder.join("unpacked").exists());
}

#[test]
fn what_the_other_machine_lacks_is_named() {
    let Some(pack) = Pack::new() else { return };
    pack.python("exit 0");
    pack.fails(&["has no packages of CUDA 13", "-m pip install nvidia-cublas"]);
    let nvidia = pack.machine.root.join("nvidia");
    let misses = |library: &str| {
        pack.python(&format!(
            "if [[ $1 == - ]]; then echo {}; else echo '{library}: cannot open shared object file'; fi",
            nvidia.display()
        ));
    };
    misses("libcuda.so.1");
    pack.fails(&["NVIDIA's driver is missing"]);
    misses("libcufft.so.12");
    pack.fails(&["MLX cannot be loaded: libcufft.so.12", "nvidia-cufft"]);
}
