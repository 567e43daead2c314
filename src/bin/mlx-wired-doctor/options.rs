//! The arguments.

use super::finding::Finding;
use lexopt::prelude::*;
use mlx_wired::print::Name;
use mlx_wired::train::estimate::{Lora, Optimizer, StepCost, Training, Workload};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

const USAGE: &str = "\
What this machine gives MLX, whether a model goes into it, and what to write in code.

usage: mlx-wired-doctor [OPTION...] [FOLDER]

  FOLDER             a model: a folder with *.safetensors in any layout in which models are found (one file, shards, a
                     folder for each part, the hub's cache), or one such file. Without one the machine alone is told of

what is done with the model:
  --context N        tokens of each sequence, prompt and answer together; else 8192 (the model's longest if it has less), or
                     fewer, down to 1024, where that does not go in: the answer says how many
  --batch N          sequences at once, or rows of a training step; else 1
  --train OPTIMIZER  it is trained: sgd, momentum, adam or adamw
  --lora RANK        adapters of this rank are trained, in all matrices of all layers, and the model is not
  --lora-matrices A,B    only in matrices whose paths end so: q_proj,v_proj
  --lora-layers N    only in the last N layers
  --step BYTES       what a training step of that batch was measured to take above what stays: 3221225472, 3GiB, 1.5GiB

what is said:
  --json             one object for programs in place of the text: verdict (fits, tight, impossible, unknown; null without a
                     folder), bytes, items, problems and more; also where it fails
  -v, --verbose      notes, types and more facts, too
  -h, --help; -V, --version

exit status: 0 if it fits or is tight, or no folder was named; 1 for anything else about a folder; 2 for bad arguments
";

/// What the doctor is asked for.
pub(crate) enum Asked {
    /// Help, or the version.
    Text(String),
    Report(Options),
}

#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) folder: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) verbose: bool,
    pub(crate) context: Option<u64>,
    batch: Option<u64>,
    pub(crate) train: Option<Optimizer>,
    lora: Option<u64>,
    lora_matrices: Option<Vec<String>>,
    lora_layers: Option<u64>,
    step: Option<u64>,
}

/// Arguments that make no sense.
pub(crate) struct Wrong {
    pub(crate) finding: Finding,
    /// Programs that ask for an object get one in any case.
    pub(crate) is_json: bool,
}

/// Parses a program's arguments, its name first.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Wrong> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let before_folder = |argument: &&OsString| *argument != "--";
    let mut options = arguments.iter().take_while(before_folder);
    let is_json = options.any(|argument| argument == "--json");
    read(arguments.into_iter()).map_err(|error| {
        let error = error.to_string();
        let text = Name::cut(&error, 200).to_string();
        let finding = Finding::error("arguments", text, "see --help");
        Wrong { finding, is_json }
    })
}

fn read(arguments: impl Iterator<Item = OsString>) -> Result<Asked, lexopt::Error> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_iter(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Value(folder) => options.name(folder)?,
            Long("json") => options.json = true,
            Long("verbose") | Short('v') => options.verbose = true,
            Long("context") => options.context = Some(number("--context", &parser.value()?)?),
            Long("batch") => options.batch = Some(number("--batch", &parser.value()?)?),
            Long("train") => options.train = Some(optimizer(&parser.value()?)?),
            Long("lora") => options.lora = Some(number("--lora", &parser.value()?)?),
            Long("lora-matrices") => options.lora_matrices = Some(names(&parser.value()?)?),
            Long("lora-layers") => {
                options.lora_layers = Some(number("--lora-layers", &parser.value()?)?);
            }
            Long("step") => options.step = Some(bytes("--step", &parser.value()?)?),
            Long("help") | Short('h') => return Ok(Asked::Text(USAGE.to_owned())),
            Long("version") | Short('V') => {
                let text = format!("mlx-wired-doctor {}\n", env!("CARGO_PKG_VERSION"));
                return Ok(Asked::Text(text));
            }
            other => return Err(other.unexpected()),
        }
    }
    options.check()?;
    Ok(Asked::Report(options))
}

impl Options {
    fn name(&mut self, folder: OsString) -> Result<(), lexopt::Error> {
        if folder.is_empty() {
            return Err("an empty argument names no folder".into());
        }
        if self.folder.replace(folder.into()).is_some() {
            return Err("more than one folder is named; ask about one at a time".into());
        }
        Ok(())
    }

    /// What needs what.
    fn check(&self) -> Result<(), lexopt::Error> {
        let needs_training = [
            ("--lora", self.lora.is_some()),
            ("--step", self.step.is_some()),
        ];
        let needs_lora = [
            ("--lora-matrices", self.lora_matrices.is_some()),
            ("--lora-layers", self.lora_layers.is_some()),
        ];
        let first = |of: [(&'static str, bool); 2]| of.into_iter().find(|(_, is_there)| *is_there);
        match (first(needs_training), first(needs_lora)) {
            (Some((option, _)), _) if self.train.is_none() => {
                Err(format!("{option} needs --train").into())
            }
            (_, Some((option, _))) if self.lora.is_none() => {
                Err(format!("{option} needs --lora").into())
            }
            _ => Ok(()),
        }
    }

    /// The same workload with these settings.
    pub(crate) fn apply(&self, mut workload: Workload) -> Workload {
        if let Some(context) = self.context {
            workload = workload.context(context);
        }
        if let Some(batch) = self.batch {
            workload = workload.batch(batch);
        }
        match self.training() {
            Some(training) => workload.train(training),
            None => workload,
        }
    }

    fn training(&self) -> Option<Training> {
        let mut training = Training::new(self.train?);
        if let Some(rank) = self.lora {
            let mut lora = Lora::rank(rank);
            if let Some(matrices) = &self.lora_matrices {
                lora = lora.matrices(matrices.iter().cloned());
            }
            if let Some(layers) = self.lora_layers {
                lora = lora.last_layers(layers);
            }
            training = training.lora(lora);
        }
        if let Some(bytes) = self.step {
            training = training.measured(StepCost::at(self.batch.unwrap_or(1), bytes));
        }
        Some(training)
    }

    pub(crate) fn batch(&self) -> Option<u64> {
        self.batch
    }

    pub(crate) fn trains_adapters(&self) -> bool {
        self.lora.is_some()
    }
}

fn text(value: &OsStr) -> Result<&str, lexopt::Error> {
    value
        .to_str()
        .ok_or_else(|| lexopt::Error::NonUnicodeValue(value.to_owned()))
}

fn number(option: &str, value: &OsStr) -> Result<u64, lexopt::Error> {
    let text = text(value)?;
    match text.replace('_', "").parse() {
        Ok(0) => Err(format!("{option} is at least 1").into()),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("{option} takes a whole number, not {text:?}").into()),
    }
}

fn optimizer(value: &OsStr) -> Result<Optimizer, lexopt::Error> {
    Ok(match text(value)? {
        "sgd" => Optimizer::Sgd,
        "momentum" => Optimizer::Momentum,
        "adam" => Optimizer::Adam,
        "adamw" => Optimizer::AdamW,
        other => {
            let text = format!("--train takes sgd, momentum, adam or adamw, not {other:?}");
            return Err(text.into());
        }
    })
}

fn names(value: &OsStr) -> Result<Vec<String>, lexopt::Error> {
    let names: Vec<String> = text(value)?.split(',').map(str::to_owned).collect();
    match names.iter().any(String::is_empty) {
        true => Err("--lora-matrices takes names with commas between, as q_proj,v_proj".into()),
        false => Ok(names),
    }
}

/// Bytes, or so many KiB, MiB, GiB or TiB.
fn bytes(option: &str, value: &OsStr) -> Result<u64, lexopt::Error> {
    let text = text(value)?;
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let with_unit = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, 1_u64 << shift)));
    let bytes = match with_unit {
        Some((number, unit)) => number
            .trim_end()
            .parse::<f64>()
            .ok()
            .map(|it| it * unit as f64),
        None => None,
    };
    let bytes = match bytes {
        Some(bytes) if (1.0..1e18).contains(&bytes) => Some(bytes.ceil() as u64),
        Some(_) => None,
        None => text
            .replace('_', "")
            .parse()
            .ok()
            .filter(|bytes| *bytes > 0),
    };
    bytes.ok_or_else(|| {
        format!("{option} takes bytes, as 1073741824 or 1.5GiB, not {text:?}").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_plain_or_have_a_unit() {
        let read = |text: &str| bytes("--step", OsStr::new(text)).ok();
        assert_eq!(read("3221225472"), Some(3 << 30));
        assert_eq!(read("3_221_225_472"), Some(3 << 30));
        assert_eq!(read("1.5GiB"), Some(3 << 29));
        assert_eq!(read("64 MiB"), Some(64 << 20));
        for wrong in [
            "", "0", "-1", "3GB", "GiB", "NaNGiB", "infGiB", "1e30TiB", "-1GiB", "0MiB",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
