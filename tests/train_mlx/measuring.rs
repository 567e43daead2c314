//! Measuring real steps.

use super::alone;
use super::network::Network;
use mlx_wired::SumPolicy;
use mlx_wired::ffi;
use mlx_wired::train::{Error, Measure, Measuring, Run};

#[test]
fn a_steps_ticket_covers_what_later_steps_take() {
    let _alone = alone();
    let mut network = Network::new(1);
    let batch = network.batch(512);
    let policy = SumPolicy::new();
    let measured = policy.measure("step", || network.step(&batch)).unwrap();
    assert!(measured.runs >= 2 && measured.warm_up == 2);
    assert!(measured.spread < 0.02 || measured.runs > 2, "{measured}");
    // Activations of 512 rows of the hidden layer, at least.
    assert!(measured.above_start >= 512 * 256 * 4, "{measured}");
    assert!(measured.workspace <= measured.above_start + measured.active_before);
    if measured.kind == ffi::DeviceKind::Cpu {
        assert_eq!(measured.margin, measured.above_start.div_ceil(8));
    }

    let ticket = measured.ticket(&policy);
    let run = Run::start().unwrap();
    for _ in 0..50 {
        let guard = ticket.acquire().unwrap();
        let (_, report) = run.step(|| network.step(&batch)).unwrap();
        drop(guard);
        let took = report
            .above_start
            .expect("it frees nothing that was there before");
        assert!(took <= ticket.bytes(), "{took} of {}", ticket.bytes());
    }
    run.finish().unwrap();
}

#[test]
fn the_first_steps_need_more_than_later_ones_or_less_and_do_not_count() {
    let _alone = alone();
    let mut network = Network::new(2);
    let batch = network.batch(64);
    // The optimizer's state is made in the first step and stays.
    let before = ffi::memory_counters().unwrap().active;
    let measured = Measuring::new("step").run(|| network.step(&batch)).unwrap();
    let state: usize = network
        .weights
        .iter()
        .map(|weight| 2 * weight.nbytes())
        .sum();
    assert!(
        measured.active_before >= before + state as u64,
        "{measured}"
    );
    assert_eq!(
        measured.active_before, measured.active_after,
        "nothing is kept"
    );
}

#[test]
fn an_error_of_mlx_comes_through() {
    let _alone = alone();
    let (a, b) = (
        mlx_rs::Array::from_slice(&[1.0_f32; 6], &[2, 3]),
        mlx_rs::Array::from_slice(&[1.0_f32; 6], &[2, 3]),
    );
    let error = Measuring::new("step").run(|| a.matmul(&b)).unwrap_err();
    assert!(matches!(error, Error::Work(_)), "{error:?}");
}

#[test]
fn what_is_not_evaluated_takes_nothing() {
    let _alone = alone();
    let a = mlx_rs::Array::from_slice(&[1.0_f32; 1 << 16], &[256, 256]);
    a.eval().unwrap();
    let lazy = Measuring::new("lazy").run(|| a.matmul(&a)).unwrap();
    let done = Measuring::new("done")
        .run(|| a.matmul(&a).and_then(|c| c.eval()))
        .unwrap();
    assert_eq!(lazy.above_start, 0, "{lazy}");
    assert!(done.above_start >= 1 << 18, "{done}");
}
