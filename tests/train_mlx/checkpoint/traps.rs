//! Each way in which recomputed blocks could give wrong gradients, or hide why they failed.

use super::super::alone;
use super::{numbers, run};
use crate::kit::assert_says;
use mlx_rs::error::{Exception, Result};
use mlx_rs::transforms::{compile::compile, eval, grad_with_argnums};
use mlx_rs::{Array, array, stop_gradient};
use mlx_wired::train::checkpoint::{
    Checkpointing, Recompute, keyed_value_and_grad, value_and_grad, with_cause,
};
use std::collections::HashMap;
use std::rc::Rc;

/// Each way in which a block may run.
const SETTINGS: [Recompute; 2] = [Recompute::None, Recompute::All];

fn all() -> Checkpointing {
    Checkpointing::new(Recompute::All)
}

fn sum(arrays: &[Array]) -> Result<Vec<Array>> {
    let mut total = array!(0.0_f32);
    for array in arrays {
        total = total.add(array.sum(None)?)?;
    }
    Ok(vec![total])
}

/// The error of the gradient of a block's summed outputs.
fn failure<F>(blocks: &Checkpointing, f: F, primals: &[Array], constants: &[Array]) -> String
where
    F: Fn(&[Array], &[Array]) -> Result<Vec<Array>> + Copy + Send + 'static,
{
    let loss = |primals: &[Array]| sum(&blocks.block(2, f, primals, constants)?);
    let error = value_and_grad(loss, &[0])(primals).unwrap_err();
    error.what().to_owned()
}

#[test]
fn an_output_behind_stop_gradient_takes_no_cotangent_of_another() {
    let _alone = alone();
    // d/dx of 100 stop(x²) + 2 x², at 0.75: 3, and not 150.
    let block = |x: &[Array], _: &[Array]| {
        let square = x[0].square()?;
        Ok(vec![stop_gradient(&square)?, square])
    };
    let loss = |x: &[Array]| -> Result<Vec<Array>> {
        let outputs = all().block(0, block, x, &[])?;
        let [weighted, doubled] = [
            outputs[0].multiply(array!(100.0_f32))?,
            outputs[1].multiply(array!(2.0_f32))?,
        ];
        Ok(vec![weighted.add(doubled)?])
    };
    let (_, gradients) = value_and_grad(loss, None)(&[array!(0.75_f32)]).unwrap();
    assert_eq!(numbers(&gradients[0]), [3.0]);
}

/// Outputs of which some have no gradient, are primals or constants as they are, come twice, or are not used.
#[test]
fn outputs_of_all_kinds_leave_gradients_right() {
    let _alone = alone();
    let block = |p: &[Array], c: &[Array]| {
        let product = p[0].multiply(&p[1])?;
        let largest = mlx_rs::ops::indexing::argmax(&product, None)?;
        Ok(vec![
            largest,
            product.clone(),
            p[0].clone(),
            c[0].clone(),
            product.square()?,
            product,
            p[1].exp()?,
        ])
    };
    let primals = [array!([1.0_f32, 2.0, 3.0]), array!([0.5_f32, -1.0, 0.25])];
    let gradients = SETTINGS.map(|setting| {
        let blocks = Checkpointing::new(setting);
        let loss = |p: &[Array]| -> Result<Vec<Array>> {
            let outputs = blocks.block(0, block, p, &[array!([7.0_f32, 8.0, 9.0])])?;
            let chosen = outputs[5].take(stop_gradient(&outputs[0])?)?;
            let mut total = chosen.multiply(array!(10.0_f32))?;
            for output in &outputs[1..5] {
                total = total.add(output.sum(None)?)?;
            }
            Ok(vec![total])
        };
        let (values, gradients) = value_and_grad(loss, &[0, 1])(&primals).unwrap();
        (
            numbers(&values[0]),
            gradients.iter().map(numbers).collect::<Vec<_>>(),
        )
    });
    assert_eq!(gradients[0], gradients[1]);
    // d of 10 p0 p1 at the third, and of p0 p1 + p0 + (p0 p1)² everywhere.
    assert_eq!(gradients[1].1[0], [2.0, 4.0, 4.125]);
    assert_eq!(gradients[1].1[1], [2.0, -6.0, 37.5]);
}

#[test]
fn a_constant_whose_gradient_is_asked_fails_and_is_free_otherwise() {
    let _alone = alone();
    let block = |p: &[Array], c: &[Array]| Ok(vec![p[0].multiply(&c[1])?]);
    for setting in SETTINGS {
        let blocks = Checkpointing::new(setting);
        let loss = |a: &[Array]| {
            // A constant of integers needs none, so it is as it was.
            blocks.block(4, block, &a[..1], &[array!([1_i32, 2]), a[1].clone()])
        };
        let arguments = [array!(2.0_f32), array!(3.0_f32)];
        let (_, gradients) = value_and_grad(loss, &[0])(&arguments).unwrap();
        assert_eq!(numbers(&gradients[0]), [3.0]);
        let error = value_and_grad(loss, &[1])(&arguments).unwrap_err();
        assert!(
            error
                .what()
                .contains("constant 1 of block 4 needs a gradient"),
            "{setting}: {error}"
        );
        // Where none flows, none is asked.
        let stopped =
            |a: &[Array]| blocks.block(4, block, &a[..1], &[array!(1_i32), stop_gradient(&a[1])?]);
        let (_, gradients) = value_and_grad(stopped, &[0, 1])(&arguments).unwrap();
        assert_eq!(
            (numbers(&gradients[0]), numbers(&gradients[1])),
            (vec![3.0], vec![0.0])
        );
    }
}

#[test]
fn a_dropout_with_a_key_is_the_same_again() {
    let _alone = alone();
    let dropout = |p: &[Array], c: &[Array]| {
        let kept = mlx_rs::random::bernoulli(&array!(0.5_f32), p[0].shape(), &c[0])?;
        Ok(vec![p[0].square()?.multiply(kept)?])
    };
    let x = Array::from_slice(&[1.0_f32; 256], &[256]);
    let key = mlx_rs::random::key(7).unwrap();
    let gradients = SETTINGS.map(|setting| {
        let gradients = run(
            setting,
            dropout,
            std::slice::from_ref(&x),
            std::slice::from_ref(&key),
        );
        numbers(&gradients[0])
    });
    assert_eq!(gradients[0], gradients[1]);
    let dropped = gradients[0].iter().filter(|&&gradient| gradient == 0.0);
    assert!((64..192).contains(&dropped.count()));
}

#[test]
fn what_cannot_be_recomputed_is_refused() {
    let _alone = alone();
    let same = |p: &[Array], _: &[Array]| Ok(p.to_vec());
    let nothing = |_: &[Array], _: &[Array]| Ok(vec![]);
    for setting in SETTINGS {
        let blocks = Checkpointing::new(setting);
        let refused = |result: Result<Vec<Array>>| result.unwrap_err().what().to_owned();
        let none = refused(blocks.block(5, same, &[], &[]));
        assert!(none.contains("block 5 has no primals"), "{none}");
        let error = blocks.block(5, same, &[], &[]).unwrap_err();
        assert!(error.location().file().ends_with("traps.rs"), "{error}");
        let integers = refused(blocks.block(5, same, &[array!(1.0_f32), array!(1_i32)], &[]));
        assert_says(&integers, "primal 1 of block 5 is of Int32");
        let empty = refused(blocks.block(5, nothing, &[array!(1.0_f32)], &[]));
        assert!(empty.contains("returned no arrays"), "{empty}");
    }
}

#[test]
fn what_fails_in_a_block_is_the_cause_in_both_passes() {
    let _alone = alone();
    thread_local!(static CALLS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let fails = |_: &[Array], _: &[Array]| Err(Exception::custom("the first time"));
    let x = [array!(1.0_f32)];
    for setting in SETTINGS {
        let cause = failure(&Checkpointing::new(setting), fails, &x, &[]);
        assert_eq!(cause, "the first time");
    }
    let fails_again = |p: &[Array], _: &[Array]| match CALLS.replace(CALLS.get() + 1) {
        0 => Ok(p.to_vec()),
        _ => Err(Exception::custom("the second time")),
    };
    assert_eq!(failure(&all(), fails_again, &x, &[]), "the second time");
    // An error of MLX itself, of a shape.
    CALLS.set(0);
    let shape = |p: &[Array], c: &[Array]| match CALLS.replace(CALLS.get() + 1) {
        0 => Ok(p.to_vec()),
        _ => Ok(vec![p[0].add(&c[0])?]),
    };
    let cause = failure(
        &all(),
        shape,
        &[array!([1.0_f32, 2.0])],
        &[array!([1_i32, 2, 3])],
    );
    assert!(cause.contains("cannot be broadcast"), "{cause}");
    // mlx-rs's own says nothing; `with_cause` does for any transform.
    CALLS.set(0);
    let loss = |p: &[Array]| all().block(0, fails_again, p, &[]);
    let mut transform = grad_with_argnums(loss, &[0]);
    let cause = with_cause(|| transform(&x)).unwrap_err();
    assert_eq!(cause.what(), "the second time");
    // And by name.
    CALLS.set(0);
    let named = |named: HashMap<Rc<str>, Array>, ()| {
        all().block(0, fails_again, &[named["x"].clone()], &[])
    };
    let parameters = HashMap::from([(Rc::from("x"), x[0].clone())]);
    let cause = keyed_value_and_grad(named)(parameters, ()).unwrap_err();
    assert_eq!(cause.what(), "the second time");
}

#[test]
fn a_panic_in_a_block_is_the_cause_in_both_passes() {
    let _alone = alone();
    thread_local!(static CALLS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let x = [array!(1.0_f32)];
    let panics = |_: &[Array], _: &[Array]| -> Result<Vec<Array>> { panic!("number {}", 3) };
    for setting in SETTINGS {
        let cause = failure(&Checkpointing::new(setting), panics, &x, &[]);
        assert_eq!(cause, "checkpointing: a block panicked: number 3");
    }
    let panics_again = |p: &[Array], _: &[Array]| {
        assert_eq!(CALLS.replace(CALLS.get() + 1), 0, "twice");
        Ok(p.to_vec())
    };
    let cause = failure(&all(), panics_again, &x, &[]);
    assert_says(&cause, "panicked");
    assert_says(&cause, "twice");
}

#[test]
fn a_cause_is_not_told_again() {
    let _alone = alone();
    thread_local!(static CALLS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let fails_again = |p: &[Array], _: &[Array]| match CALLS.replace(CALLS.get() + 1) {
        0 => Ok(p.to_vec()),
        _ => Err(Exception::custom("of a block")),
    };
    let x = [array!(1.0_f32)];
    let loss = |p: &[Array]| all().block(0, fails_again, p, &[]);
    // mlx-rs's own leaves the cause where it is.
    assert!(mlx_rs::transforms::value_and_grad(loss)(&x).is_err());
    let other = |_: &[Array]| -> Result<Vec<Array>> { Err(Exception::custom("another")) };
    let error = value_and_grad(other, None)(&x).unwrap_err();
    assert_eq!(error.what(), "another");
    // The step after a failed one is right.
    let loss = |p: &[Array]| all().block(0, |p, _| Ok(vec![p[0].square()?]), p, &[]);
    let (_, gradients) = value_and_grad(loss, None)(&x).unwrap();
    assert_eq!(numbers(&gradients[0]), [2.0]);
    // An error that the loss deals with is gone.
    let retries = |p: &[Array]| {
        let failed = all().block(0, |_, _| Err(Exception::custom("at first")), p, &[]);
        assert!(failed.is_err());
        all().block(0, |p, _| Ok(vec![p[0].square()?]), p, &[])
    };
    let (_, gradients) = value_and_grad(retries, None)(&x).unwrap();
    assert_eq!(numbers(&gradients[0]), [2.0]);
}

#[test]
fn another_number_of_outputs_when_recomputed_is_an_error() {
    let _alone = alone();
    thread_local!(static CALLS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
    let grows = |p: &[Array], _: &[Array]| {
        let calls = CALLS.replace(CALLS.get() + 1);
        Ok(vec![p[0].clone(); 1 + calls])
    };
    let cause = failure(&all(), grows, &[array!(1.0_f32)], &[]);
    assert_says(&cause, "block 2 returned 1 arrays at first, and 2");
}

#[test]
fn second_order_and_nested_blocks_give_the_same() {
    let _alone = alone();
    let cube = |p: &[Array], _: &[Array]| Ok(vec![p[0].square()?.multiply(&p[0])?]);
    let first = move |x: &[Array]| -> Result<Vec<Array>> {
        let blocks = all();
        let loss = |x: &[Array]| blocks.block(0, cube, x, &[]);
        grad_with_argnums(loss, &[0])(x)
    };
    let (values, second) = value_and_grad(first, None)(&[array!(2.0_f32)]).unwrap();
    assert_eq!(
        (numbers(&values[0]), numbers(&second[0])),
        (vec![12.0], vec![12.0])
    );

    let outer = move |p: &[Array], _: &[Array]| {
        let inner = all().block(0, cube, p, &[])?;
        all().block(1, cube, &inner, &[])
    };
    let gradients = run(Recompute::All, outer, &[array!(1.5_f32)], &[]);
    assert_eq!(numbers(&gradients[0]), [9.0 * 1.5_f32.powi(8)]);
}

#[test]
fn forward_mode_over_a_recomputed_gradient_is_an_error() {
    let _alone = alone();
    let square = |p: &[Array], _: &[Array]| Ok(vec![p[0].square()?]);
    let gradient = move |x: &[Array]| {
        let blocks = all();
        let loss = |x: &[Array]| blocks.block(0, square, x, &[]);
        grad_with_argnums(loss, &[0])(x)
    };
    let result = mlx_rs::transforms::fallible_jvp(gradient, &[array!(2.0_f32)], &[array!(1.0_f32)]);
    assert!(result.is_err(), "{result:?}");
}

#[test]
fn a_compiled_step_does_what_it_was_traced_for_and_says_so() {
    let _alone = alone();
    let blocks = all();
    let inner = blocks.clone();
    let step = move |arguments: &[Array]| -> Result<Vec<Array>> {
        let block = |p: &[Array], _: &[Array]| Ok(vec![p[0].matmul(&p[1])?.square()?]);
        let loss = |a: &[Array]| sum(&inner.block(0, block, a, &[])?);
        let (mut values, gradients) = value_and_grad(loss, &[0, 1])(arguments)?;
        values.extend(gradients);
        Ok(values)
    };
    let arguments = [array!([[1.0_f32, 2.0]]), array!([[3.0_f32], [4.0]])];
    let direct = step(&arguments).unwrap();
    let mut compiled = compile(step, None);
    let numbers_of = |arrays: &[Array]| arrays.iter().map(numbers).collect::<Vec<_>>();
    assert_eq!(
        numbers_of(&compiled(&arguments).unwrap()),
        numbers_of(&direct)
    );
    assert_eq!(blocks.traced(), Some(Recompute::All));
    blocks.set(Recompute::None);
    assert_eq!(
        numbers_of(&compiled(&arguments).unwrap()),
        numbers_of(&direct)
    );
    assert_eq!(
        (blocks.get(), blocks.traced()),
        (Recompute::None, Some(Recompute::All))
    );
}

#[test]
fn switching_between_steps_takes_effect_from_any_thread() {
    let _alone = alone();
    let blocks = Checkpointing::default();
    assert_eq!((blocks.get(), blocks.traced()), (Recompute::None, None));
    let square = |p: &[Array], _: &[Array]| Ok(vec![p[0].square()?]);
    let step = || {
        let loss = |x: &[Array]| blocks.block(0, square, x, &[]);
        let (_, gradients) = value_and_grad(loss, None)(&[array!(2.0_f32)]).unwrap();
        numbers(&gradients[0])
    };
    for setting in [Recompute::First(1), Recompute::None, Recompute::All] {
        std::thread::scope(|scope| {
            scope.spawn(|| blocks.set(setting));
        });
        assert_eq!(step(), [4.0]);
        assert_eq!((blocks.get(), blocks.traced()), (setting, Some(setting)));
    }
}

#[test]
fn another_thread_computes_the_same() {
    let _alone = alone();
    let block = |p: &[Array], _: &[Array]| Ok(vec![mlx_rs::ops::tanh(p[0].matmul(&p[1])?)?]);
    let step = move || -> Vec<Vec<f32>> {
        let arguments = [array!([[1.0_f32, 2.0]]), array!([[0.3_f32], [0.4]])];
        let gradients = run(Recompute::All, block, &arguments, &[]);
        gradients.iter().map(numbers).collect()
    };
    let here = step();
    let there = std::thread::spawn(step).join().unwrap();
    assert_eq!(here, there);
}

#[test]
fn a_graph_that_is_never_evaluated_or_differentiated_frees_all() {
    let _alone = alone();
    let x = Array::from_slice(&[1.0_f32; 1 << 14], &[1 << 7, 1 << 7]);
    eval([&x]).unwrap();
    let before = mlx_wired::ffi::memory_counters().unwrap().active;
    for _ in 0..8 {
        let block = |p: &[Array], c: &[Array]| Ok(vec![p[0].matmul(&c[0])?]);
        let outputs = all().block(0, block, std::slice::from_ref(&x), std::slice::from_ref(&x));
        outputs.unwrap()[0].eval().unwrap();
        drop(all().block(0, block, std::slice::from_ref(&x), std::slice::from_ref(&x)));
    }
    assert_eq!(mlx_wired::ffi::memory_counters().unwrap().active, before);
}
