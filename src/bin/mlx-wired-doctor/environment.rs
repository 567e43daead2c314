//! What is set in the environment and concerns MLX's memory.

use super::finding::Finding;
use mlx_wired::print::Name;
use serde::Serialize;
use std::ffi::OsString;

/// How many variables are told.
const MOST: usize = 32;

/// A variable, escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    /// What it means, where that is known.
    pub(crate) meaning: Option<&'static str>,
}

/// MLX's own variables, this library's, and the one that chooses among cards.
pub(crate) fn read() -> Vec<Variable> {
    of(std::env::vars_os())
}

fn of(all: impl Iterator<Item = (OsString, OsString)>) -> Vec<Variable> {
    let mut variables: Vec<Variable> = all
        .filter_map(|(name, value)| {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            let is_told = name.starts_with("MLX_") || name == "CUDA_VISIBLE_DEVICES";
            is_told.then(|| Variable {
                name: Name::new(&name).to_string(),
                value: Name::new(&value).to_string(),
                meaning: meaning(&name, &value),
            })
        })
        .collect();
    variables.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    variables.truncate(MOST);
    variables
}

const NEVER: &str = "no limit is ever set; tickets are admitted and counted";
const OTHER: &str = "neither `auto` nor `never`, so it acts as `never`";

fn meaning(name: &str, value: &str) -> Option<&'static str> {
    Some(match (name, value) {
        ("MLX_WIRED", "") => "empty: as if it were not set",
        ("MLX_WIRED", "auto") => "as if it were not set",
        ("MLX_WIRED", "never") => NEVER,
        ("MLX_WIRED", _) => OTHER,
        ("MLX_WIRED_QUIET", "" | "0") => "as if it were not set",
        ("MLX_WIRED_QUIET", _) => "lines that stall print nothing on stderr",
        ("MLX_METAL_RESIDENCY_REFRESH_INTERVAL_MS", _) => {
            "from MLX 0.32.4 on pages are let go when the GPU idles; a resident guard keeps the limit, not the pages"
        }
        ("CUDA_VISIBLE_DEVICES", _) => {
            "the cards that the program sees; the first of them counts here"
        }
        _ => return None,
    })
}

/// What is wrong with them, on a device that wires memory or not.
pub(crate) fn findings(variables: &[Variable], wires: bool) -> Vec<Finding> {
    let found = variables.iter().filter_map(|variable| {
        let Variable { name, value, meaning } = variable;
        match *meaning {
            Some(NEVER) if wires => Some(Finding::warning(
                "wiring-switched-off",
                format!("{name}=never: nothing is wired, so that a large model may be paged and run many times slower"),
                format!("unset {name}, unless that is meant"),
            )),
            Some(OTHER) => Some(Finding::warning(
                "environment-not-understood",
                format!("{name}={value} is neither `auto` nor `never`: it acts as `never`"),
                format!("unset {name}, or set it to one of them"),
            )),
            _ => None,
        }
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Vec<Variable> {
        of([(name.into(), value.into())].into_iter())
    }

    #[test]
    fn what_the_variable_says_is_told_as_the_library_takes_it() {
        let found = |value, wires| {
            let found = findings(&one("MLX_WIRED", value), wires);
            found.first().map(|finding| finding.id)
        };
        assert_eq!(found("never", true), Some("wiring-switched-off"));
        assert_eq!(found("never", false), None, "it changes nothing there");
        assert_eq!(found("off", true), Some("environment-not-understood"));
        assert_eq!(found("off", false), Some("environment-not-understood"));
        assert_eq!(found("", true), None);
        assert_eq!(found("auto", true), None);
    }

    #[test]
    fn values_are_escaped_and_other_variables_left_alone() {
        let told = one("MLX_SOMETHING", "\u{1b}[2J");
        assert_eq!(told[0].value, "\\u{1b}[2J");
        assert!(one("PATH", "/bin").is_empty());
    }
}
