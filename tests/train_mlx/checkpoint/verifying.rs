//! What `verify` finds, and what it says.

use super::super::alone;
use crate::kit::{assert_matches, assert_says};
use mlx_rs::builder::Builder;
use mlx_rs::error::{Exception, Result};
use mlx_rs::macros::ModuleParameters;
use mlx_rs::module::{FlattenedModuleParam, Module};
use mlx_rs::nn::{Dropout, DropoutBuilder, Linear};
use mlx_rs::{Array, array, random};
use mlx_wired::train::Error;
use mlx_wired::train::checkpoint::{
    Checkpointing, Recompute, Unverified, Verified, module_value_and_grad, value_and_grad, verify,
};
use std::cell::{Cell, RefCell};

fn x() -> Array {
    let numbers: Vec<f32> = (0..256).map(|n| n as f32 / 100.0 - 1.0).collect();
    Array::from_slice(&numbers, &[16, 16])
}

/// Verifies the gradient of a block's summed output.
fn verified<F>(
    setting: Recompute,
    f: F,
    constants: &[Array],
) -> std::result::Result<Verified, Error>
where
    F: Fn(&[Array], &[Array]) -> Result<Vec<Array>> + Copy + Send + 'static,
{
    let blocks = Checkpointing::new(setting);
    let loss = |primals: &[Array]| {
        let outputs = blocks.block(0, f, primals, constants)?;
        Ok::<_, Exception>(vec![outputs[0].sum(None)?])
    };
    let mut step = value_and_grad(loss, None);
    verify(|| step(&[x()]))
}

fn why(result: std::result::Result<Verified, Error>) -> (Unverified, String) {
    let error = result.unwrap_err();
    let (short, whole) = (format!("{error}"), format!("{error:#}"));
    assert!(short.len() <= 160, "{}: {short}", short.len());
    let Error::Unverified(why) = error else {
        panic!("{short}");
    };
    (*why, whole)
}

#[test]
fn right_gradients_are_verified_with_their_number() {
    let _alone = alone();
    let block = |p: &[Array], _: &[Array]| Ok(vec![mlx_rs::ops::tanh(p[0].matmul(&p[0])?)?]);
    let found = verified(Recompute::All, block, &[]).unwrap();
    assert_eq!((found.blocks, found.gradients, found.equal), (1, 1, 1));
    assert_eq!(found.largest, 0.0);
    // The switch is as it was.
    let again = verified(Recompute::First(1), block, &[]).unwrap();
    assert_eq!(found, again);
}

#[test]
fn a_dropout_without_a_key_is_found() {
    let _alone = alone();
    let keyless = |p: &[Array], _: &[Array]| {
        let kept = random::bernoulli(&array!(0.5_f32), p[0].shape(), None)?;
        Ok(vec![p[0].square()?.multiply(kept)?])
    };
    random::seed(3).unwrap();
    let (why, whole) = why(verified(Recompute::All, keyless, &[]));
    let Unverified::Differs {
        difference,
        count,
        of,
        values_differ,
    } = why
    else {
        panic!("{why:?}");
    };
    assert_eq!((count, of, values_differ), (1, 1, false));
    assert_eq!(
        difference.difference(),
        f64::from((difference.plain - difference.other).abs())
    );
    assert!(difference.plain == 0.0 || difference.other == 0.0);
    for told in [
        format!("{:?}", difference.plain),
        format!("{:?}", difference.other),
        format!("element {}", difference.element),
        "random numbers without a key".to_owned(),
    ] {
        assert!(whole.contains(&told), "{told}: {whole}");
    }
    // The program's own random numbers go on as if nothing had been.
    let next = random::uniform::<_, f32>(0.0, 1.0, &[1], None)
        .unwrap()
        .item_exact::<f32>();
    random::seed(3).unwrap();
    let first = random::uniform::<_, f32>(0.0, 1.0, &[1], None)
        .unwrap()
        .item_exact::<f32>();
    assert_eq!(next, first);
    // With a key it is right.
    let keyed = |p: &[Array], c: &[Array]| {
        let kept = random::bernoulli(&array!(0.5_f32), p[0].shape(), &c[0])?;
        Ok(vec![p[0].square()?.multiply(kept)?])
    };
    verified(Recompute::All, keyed, &[random::key(1).unwrap()]).unwrap();
}

#[test]
fn a_dropout_in_a_module_is_found_by_the_parameters_name() {
    #[derive(Debug, Clone, ModuleParameters)]
    struct Layer {
        #[param]
        linear: Linear,
        #[param]
        dropout: Dropout,
    }
    let _alone = alone();
    let blocks = Checkpointing::new(Recompute::All);
    let mut layer = Layer {
        linear: Linear::new(16, 16).unwrap(),
        dropout: DropoutBuilder::new().p(0.5).build().unwrap(),
    };
    let forward = |layer: &mut Layer, inputs: &[Array], _: &[Array]| {
        let hidden = layer.linear.forward(&inputs[0])?;
        Ok(vec![layer.dropout.forward(&hidden)?])
    };
    let loss = |layer: &mut Layer, x: &Array| {
        let outputs = blocks.module(0, layer, forward, std::slice::from_ref(x), &[])?;
        outputs[0].square()?.sum(None)
    };
    let x = x();
    let mut step = module_value_and_grad(loss);
    let (why, whole) = why(verify(|| step(&mut layer, &x)));
    assert_matches!(
        why,
        Unverified::Differs {
            count: 2,
            of: 2,
            ..
        }
    );
    assert!(whole.contains("linear."), "{whole}");
}

#[test]
fn state_that_a_block_changes_is_found() {
    let _alone = alone();
    thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
    let counts = |p: &[Array], _: &[Array]| {
        let calls = CALLS.replace(CALLS.get() + 1);
        Ok(vec![p[0].multiply(array!(calls as f32))?])
    };
    // It shows without checkpoints, too.
    let (found, whole) = why(verified(Recompute::All, counts, &[]));
    assert!(matches!(found, Unverified::NotRepeatable(_)), "{found:?}");
    assert!(whole.contains("a counter"), "{whole}");
    // Where the program sets it back before each run, only recomputing does.
    let blocks = Checkpointing::new(Recompute::All);
    let loss = |p: &[Array]| {
        blocks
            .block(0, counts, p, &[])
            .and_then(|outputs| outputs[0].sum(None))
            .map(|sum| vec![sum])
    };
    let mut step = value_and_grad(loss, None);
    let (found, whole) = why(verify(|| {
        CALLS.set(1);
        step(&[x()])
    }));
    let Unverified::Differs {
        difference,
        values_differ: false,
        ..
    } = found
    else {
        panic!("{found:?}");
    };
    assert_eq!((difference.plain, difference.other), (1.0, 2.0));
    assert!(whole.contains("changes state"), "{whole}");
}

#[test]
fn state_that_differs_in_the_run_with_recomputed_blocks_is_found() {
    let _alone = alone();
    thread_local!(static RUNS: Cell<u32> = const { Cell::new(0) });
    let scaled = |p: &[Array], _: &[Array]| {
        let scale = if RUNS.get() < 3 { 1.0 } else { 5.0 };
        Ok(vec![p[0].square()?.multiply(array!(scale))?])
    };
    let blocks = Checkpointing::new(Recompute::All);
    let loss = |p: &[Array]| -> Result<Vec<Array>> {
        Ok(vec![blocks.block(0, scaled, p, &[])?[0].sum(None)?])
    };
    let mut step = value_and_grad(loss, None);
    let (found, whole) = why(verify(|| {
        RUNS.set(RUNS.get() + 1);
        step(&[x()])
    }));
    assert_matches!(
        found,
        Unverified::Differs {
            values_differ: true,
            ..
        }
    );
    assert!(whole.contains("the values differ too"), "{whole}");
}

#[test]
fn a_parameter_that_reaches_a_block_another_way_is_found() {
    let _alone = alone();
    thread_local!(static WEIGHT: RefCell<Option<Array>> = const { RefCell::new(None) });
    let block = |p: &[Array], _: &[Array]| {
        let weight = WEIGHT.with_borrow(|weight| weight.clone().expect("it was set"));
        Ok(vec![p[0].matmul(&weight)?])
    };
    let blocks = Checkpointing::new(Recompute::All);
    let loss = |arguments: &[Array]| {
        WEIGHT.set(Some(arguments[1].clone()));
        let outputs = blocks.block(0, block, &arguments[..1], &[])?;
        Ok::<_, Exception>(vec![outputs[0].sum(None)?])
    };
    let mut step = value_and_grad(loss, &[0, 1]);
    let (why, whole) = why(verify(|| step(&[x(), x()])));
    WEIGHT.set(None);
    let Unverified::Differs {
        difference,
        count: 1,
        of: 2,
        ..
    } = why
    else {
        panic!("{why:?}");
    };
    assert!(difference.other_is_zero && difference.parameter == "1");
    assert!(whole.contains("beside its primals"), "{whole}");
}

#[test]
fn a_run_that_recomputes_nothing_is_not_verified() {
    let _alone = alone();
    let block = |p: &[Array], _: &[Array]| Ok(vec![p[0].square()?]);
    let (found, _) = why(verified(Recompute::None, block, &[]));
    assert!(matches!(found, Unverified::NothingRecomputed), "{found:?}");
    // So is one that was compiled: it does what it was traced for.
    let blocks = Checkpointing::new(Recompute::All);
    let step = move |x: &[Array]| {
        let loss = |x: &[Array]| {
            blocks
                .block(0, block, x, &[])
                .and_then(|outputs| outputs[0].sum(None))
                .map(|sum| vec![sum])
        };
        let (mut values, gradients) = value_and_grad(loss, None)(x)?;
        values.extend(gradients);
        Ok::<_, Exception>(values)
    };
    let mut compiled = mlx_rs::transforms::compile::compile(step, None);
    let (found, _) = why(verify(|| {
        let gradients = compiled(&[x()])?.split_off(1);
        Ok((Vec::new(), gradients))
    }));
    assert!(matches!(found, Unverified::NothingRecomputed), "{found:?}");
}

#[test]
fn a_run_that_returns_no_gradients_is_not_verified() {
    let _alone = alone();
    let blocks = Checkpointing::new(Recompute::All);
    let block = |p: &[Array], _: &[Array]| Ok(vec![p[0].square()?]);
    let loss = |p: &[Array]| blocks.block(0, block, p, &[]);
    let mut step = value_and_grad(loss, None);
    let (found, _) = why(verify(|| {
        let (values, gradients) = step(&[array!(2.0_f32)])?;
        mlx_rs::transforms::eval(&gradients)?;
        Ok((values, Vec::new()))
    }));
    assert!(matches!(found, Unverified::NothingRecomputed), "{found:?}");
}

#[test]
fn what_fails_only_when_recomputed_is_the_error() {
    let _alone = alone();
    thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
    let fails_again = |p: &[Array], _: &[Array]| match CALLS.replace(CALLS.get() + 1) {
        0..3 => Ok(vec![p[0].square()?]),
        _ => Err(Exception::custom("a file is gone")),
    };
    let (found, whole) = why(verified(Recompute::All, fails_again, &[]));
    assert_matches!(
        found,
        Unverified::Failed {
            recomputing: true,
            ..
        }
    );
    assert_says(&whole, "a file is gone");
    assert_says(&whole, "verifying.rs");
}

#[test]
fn other_gradients_from_run_to_run_are_refused() {
    let _alone = alone();
    let mut runs = 0;
    let found = verify(|| {
        runs += 1;
        let gradient = array!([1.0_f32, 2.0]);
        Ok((Vec::new(), vec![gradient; runs]))
    });
    let (found, _) = why(found);
    assert!(matches!(found, Unverified::OtherGradients), "{found:?}");
    // By name, as of modules.
    let named = || -> Result<(Array, FlattenedModuleParam)> {
        Ok((array!(1.0_f32), FlattenedModuleParam::new()))
    };
    let (found, _) = why(verify(named));
    assert!(matches!(found, Unverified::NothingRecomputed), "{found:?}");
}
