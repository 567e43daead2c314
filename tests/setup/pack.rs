//! `--pack`: both ends of a pack, with programs of the test's, and what may go wrong while it is made.

use crate::machine::Machine;
use std::fs;
use std::path::PathBuf;

/// A machine that packs, and that runs the pack: its Python has NVIDIA's packages.
struct Pack {
    machine: Machine,
    folder: PathBuf,
}

/// Fails as a full disk does.
const FULL: &str = "cat >/dev/null; echo 'split: No space left on device' >&2; exit 1";

/// Ends the script that packs, when half of the parts are written.
fn ends(signal: &str) -> String {
    format!("cat >/dev/null; : >\"${{!#}}00\"; : >\"${{!#}}01\"; kill -{signal} $PPID")
}

impl Pack {
    /// One program that prints its arguments.
    fn new() -> Option<Self> {
        let pack = Self::to_make();
        let (code, said) = pack.make()?;
        assert_eq!(code, Some(0), "{said}");
        Some(pack)
    }

    fn to_make() -> Self {
        let machine = Machine::new("");
        // A name that a shell could take for a pattern.
        let folder = machine.root.join("pack [1]");
        for it in ["target/mlx/cuda/mlx/lib", "nvidia/cu13/lib"] {
            fs::create_dir_all(machine.root.join(it)).expect("a new folder");
        }
        for it in ["mlx/include", "mlx_cuda_13.libs"] {
            fs::create_dir(machine.target.join("mlx/cuda").join(it)).expect("a new folder");
        }
        let library = machine.target.join("mlx/cuda/mlx/lib/libmlx.so");
        fs::write(library, "MLX").expect("a new file");
        let pack = Self { machine, folder };
        let nvidia = pack.machine.root.join("nvidia");
        pack.python(&format!(
            "if [[ $1 == - ]]; then echo {}; fi",
            nvidia.display()
        ));
        pack
    }

    fn make(&self) -> Option<(Option<i32>, String)> {
        self.make_of(&[("train", "--quick 'two words'")])
    }

    /// How `--pack` ends for programs with arguments, and what it says.
    fn make_of(&self, programs: &[(&str, &str)]) -> Option<(Option<i32>, String)> {
        let mut commands = format!("pack='{}'; judge_pack; begin_pack\n", self.folder.display());
        for (name, arguments) in programs {
            let program = self.machine.root.join(name);
            let prints = "#!/usr/bin/env bash\nprintf 'arguments: %s|' \"$@\"\n";
            self.machine.program_at(&program, prints);
            let line = format!(
                "\"$parts/pack-program\" '{}' {arguments}\n",
                program.display()
            );
            commands.push_str(&line);
        }
        self.machine
            .functions(&(commands + "part_bytes=300 end_pack\n"))
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.folder).expect("the folder").count()
    }

    fn has_only_a_pack(&self) -> bool {
        let mut files = fs::read_dir(&self.folder).expect("the folder");
        files.all(|entry| {
            let name = entry.expect("an entry").file_name();
            name == "start" || name.to_string_lossy().starts_with("part.")
        })
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
        "program train --quick two\\ words\n"
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
    let pinned = "-m pip install nvidia-cublas==13.1.0.3 nvidia-cudnn-cu13==9.19.0.56";
    pack.fails(&["has no packages of CUDA 13", pinned]);
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
    pack.python(&format!(
        "if [[ $1 == - ]]; then echo {}; else kill -SEGV $$; fi",
        nvidia.display()
    ));
    pack.fails(&["ended with 139 while it loaded MLX", "nvidia-cufft"]);

    let version = pack.machine.root.join("version");
    let old = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\n";
    fs::write(&version, old).expect("a new file");
    let driver = pack.folder.join("unpacked/driver.sh");
    let script = fs::read_to_string(&driver).expect("it was packed");
    let version = format!("driver_file='{}'", version.display());
    fs::write(
        driver,
        script.replace("driver_file=/proc/driver/nvidia/version", &version),
    )
    .expect("the same file");
    pack.fails(&["NVIDIA's driver is 550.54.15", "needs 580 or newer"]);
}

#[test]
fn another_cuda_is_not_used_and_that_is_said() {
    let Some(pack) = Pack::new() else { return };
    let start = pack.folder.join("start");
    let nvidia = pack.machine.root.join("nvidia/cu13");
    let prints = "#!/usr/bin/env bash\necho \"its CUDA_HOME: $CUDA_HOME\"\n";
    assert_eq!(pack.start(&["--list"]).0, Some(0));
    pack.machine
        .program_at(&pack.folder.join("unpacked/programs/train"), prints);
    let with_another = format!(
        "#!/usr/bin/env bash\nCUDA_HOME=/opt/cuda-12 '{}' train\n",
        start.display()
    );
    let script = pack.machine.root.join("with-another");
    pack.machine.program_at(&script, &with_another);
    let (code, said) = pack.machine.run(&script, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("CUDA_HOME=/opt/cuda-12 is not used"),
        "{said}"
    );
    let ours = format!("its CUDA_HOME: {}", nvidia.display());
    assert!(said.contains(&ours), "{said}");
}

#[test]
fn a_pack_that_was_interrupted_is_made_again() {
    for split in [&ends("KILL"), &ends("TERM"), FULL] {
        let pack = Pack::to_make();
        pack.machine.program("split", split);
        let Some((code, said)) = pack.make() else {
            return;
        };
        assert_ne!(code, Some(0), "{said}");
        if split == FULL {
            assert!(said.contains("is the disk"), "{said}");
        }
        if !split.contains("KILL") {
            assert_eq!(pack.files(), 0, "nothing is left: {said}");
        }
        pack.machine.tool("split");
        let (code, said) = pack.make().expect("as before");
        assert_eq!(code, Some(0), "{said}");
        assert!(pack.has_only_a_pack(), "nothing is left of the first run");
        assert_eq!(pack.start(&[]).0, Some(0));
        // An earlier pack, unpacked too, makes room for a new one.
        let (code, said) = pack.make_of(&[("other", "")]).expect("as before");
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(pack.start(&["--list"]).1, "program other\n");
    }
}

#[test]
fn documentation_tests_are_not_packed() {
    let pack = Pack::to_make();
    let programs = [("rust_out", ""), ("train", ""), ("rust_out", "--test")];
    let Some((code, said)) = pack.make_of(&programs) else {
        return;
    };
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("documentation tests are not packed"),
        "{said}"
    );
    assert!(said.contains("cargo test --tests"), "{said}");
    assert_eq!(pack.start(&["--list"]).1, "program train\n");
    let (code, said) = pack.make_of(&programs[..1]).expect("as before");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ran no program to pack"), "{said}");
    let kept = pack.start(&["--list"]).1;
    assert_eq!(kept, "program train\n", "the earlier pack is still there");
}

#[test]
fn a_folder_of_other_files_is_refused_before_anything_is_downloaded() {
    let pack = Pack::to_make();
    fs::create_dir(&pack.folder).expect("a new folder");
    fs::write(pack.folder.join("part.00"), "mine").expect("a new file");
    fs::remove_dir_all(&pack.machine.target).expect("it was made");
    let folder = pack.folder.to_str().expect("a path in UTF-8");
    let arguments = ["--cuda", "--pack", folder, "cargo", "run"];
    let Some((code, said)) = pack.machine.with_mlx(&arguments) else {
        return;
    };
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has files that no pack wrote"), "{said}");
    assert_eq!(pack.files(), 1);
    assert!(!pack.machine.target.exists(), "nothing was made");
}
