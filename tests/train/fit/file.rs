//! What was fitted, in a file.

use super::{fit, transformer};
use crate::kit::Folder;
use crate::network::Network;
use mlx_wired::train::Error;
use mlx_wired::train::FileProblem;
use std::fs;

#[test]
fn a_second_start_runs_nothing() {
    let folder = Folder::new();
    let file = folder.at("fitted.json");
    let (manager, mut network) = transformer();
    let fit = fit(128_000_000, &manager, &network);
    let fitted = fit.run_or_read(&file, "model", &mut network).unwrap();
    network.ran.clear();
    let read = fit.run_or_read(&file, "model", &mut network).unwrap();
    assert!(network.ran.is_empty());
    assert_eq!((read.plan, read.peak), (fitted.plan, fitted.peak));
    assert_eq!(read.to_string(), fitted.to_string());

    // Another question, another answer.
    let other = super::fit(64_000_000, &manager, &network);
    let other = other.run_or_read(&file, "model", &mut network).unwrap();
    assert!(!network.ran.is_empty() && other.budget == 64_000_000);
}

#[test]
fn a_file_of_another_model_or_one_that_was_changed_is_an_error() {
    let folder = Folder::new();
    let file = folder.at("fitted.json");
    let (manager, mut network) = transformer();
    let fit = fit(128_000_000, &manager, &network);
    fit.run_or_read(&file, "model", &mut network).unwrap();
    network.ran.clear();
    let problem = |network: &mut Network, model: &str| match fit.run_or_read(&file, model, network)
    {
        Err(Error::File { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    let other = problem(&mut network, "another");
    assert!(matches!(other, FileProblem::OtherKey { .. }), "{other:?}");
    let text = fs::read_to_string(&file).unwrap();
    for (from, to) in [
        ("\"accumulate\": 32", "\"accumulate\": 31"),
        ("\"peak\": ", "\"peak\": 9"),
        ("\"format\": 1", "\"format\": 2"),
        ("\"budget\"", "\"bugdet\""),
        ("{", ""),
    ] {
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
        let other = problem(&mut network, "model");
        assert!(
            matches!(other, FileProblem::Malformed(_)),
            "{from}: {other:?}"
        );
    }
    assert!(network.ran.is_empty());
}
