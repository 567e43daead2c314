//! Micro-batches that shrink and grow.

use crate::kit::on;
use mlx_wired::Manager;
use mlx_wired::ffi::{BackendError, MemorySetting, RecordingBackend};
use mlx_wired::train::{BatchSizer, Error, Micro, WorkError, is_allocation_failure};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

fn sizer(largest: usize) -> (BatchSizer, Manager, Arc<RecordingBackend>) {
    let (manager, backend) = on(RecordingBackend::cuda());
    (BatchSizer::new(largest).manager(&manager), manager, backend)
}

fn refused() -> BackendError {
    BackendError::new("mlx_eval()").with_message("[malloc] Unable to allocate 4096 bytes.")
}

fn cleared(backend: &RecordingBackend) -> usize {
    let calls = backend.memory_calls().into_iter();
    calls
        .filter(|call| call.setting == MemorySetting::Cache)
        .count()
}

/// The rows that were trained on, and the sum of the weights.
#[derive(Default)]
struct Done {
    rows: Vec<usize>,
    weight: f64,
}

impl Done {
    fn add(&mut self, micro: &Micro) {
        assert_eq!(micro.begins, self.rows.is_empty());
        self.rows.extend(micro.rows.clone());
        self.weight += micro.weight;
    }

    fn check(&self, rows: usize) {
        let all: Vec<usize> = (0..rows).collect();
        assert_eq!(self.rows, all, "each row once, in order");
        assert!((self.weight - 1.0).abs() < 1e-9);
    }
}

#[test]
fn a_step_is_split_into_all_its_rows_weighted_by_them() {
    for rows in 0..40 {
        for size in 1..40 {
            let (sizer, ..) = sizer(size);
            let mut done = Done::default();
            let split = sizer.split(rows);
            assert_eq!(split.len(), rows.div_ceil(size));
            for micro in split {
                assert!(!micro.rows.is_empty() && micro.rows.len() <= size);
                assert_eq!(micro.weight, micro.rows.len() as f64 / rows as f64);
                done.add(&micro);
            }
            assert!(rows == 0 || (done.weight - 1.0).abs() < 1e-9);
            assert_eq!(done.rows.len(), rows);
        }
    }
}

#[test]
fn a_mean_is_that_of_all_rows_whatever_the_split() {
    let values: Vec<f64> = (0..29).map(|row| f64::from(row * row)).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    for size in [1, 2, 7, 12, 28, 29] {
        let (sizer, ..) = sizer(size);
        let weighted: f64 = sizer
            .split(values.len())
            .map(|micro| {
                let part = &values[micro.rows.clone()];
                micro.weight * part.iter().sum::<f64>() / part.len() as f64
            })
            .sum();
        assert!((weighted - mean).abs() < 1e-9, "{size}");
    }
}

/// Whatever micro-batch of a step fails, and however often, no row is lost and none is trained on twice.
#[test]
fn failures_anywhere_lose_no_row() {
    for fails_at in 0..8 {
        for times in 1..=4 {
            let (mut sizer, _manager, backend) = sizer(8);
            let (mut done, mut call) = (Done::default(), 0);
            let step = sizer.step(50, |micro| {
                call += 1;
                if (fails_at..fails_at + times).contains(&(call - 1)) {
                    return Err(refused());
                }
                done.add(micro);
                Ok(())
            });
            let step = step.unwrap();
            done.check(50);
            // 7 passes, and the eighth call does not come.
            let failed = if fails_at == 7 { 0 } else { times };
            assert_eq!(step.failures, failed);
            let halvings = failed.saturating_sub(1);
            assert_eq!((step.from, step.to), (8, 8 >> halvings));
            assert_eq!(sizer.size(), step.to);
            assert_eq!(cleared(&backend), failed);
        }
    }
}

#[test]
fn one_failure_clears_the_cache_and_changes_nothing_else() {
    let (mut sizer, _manager, backend) = sizer(8);
    let mut tried = Vec::new();
    let step = sizer.step(16, |micro| {
        tried.push(micro.rows.clone());
        if tried.len() == 2 {
            Err(refused())
        } else {
            Ok(())
        }
    });
    assert_eq!(tried, [0..8, 8..16, 8..16], "the same rows again");
    let step = step.unwrap();
    assert_eq!((step.passes, step.failures, step.to), (2, 1, 8));
    assert_eq!(cleared(&backend), 1);
    assert_eq!(
        step.to_string(),
        "16 rows in 2 passes, memory refused 1 times"
    );
}

/// Memory for so many rows at once: it ends at the largest size of the halved ones for which there is memory.
#[test]
fn it_ends_at_the_size_for_which_there_is_memory() {
    for room in 1..=32 {
        let (sizer, ..) = sizer(32);
        let mut sizer = sizer.grow_after(1000);
        for _ in 0..5 {
            let mut done = Done::default();
            let step = sizer.step(32, |micro| match micro.rows.len() > room {
                true => Err(refused()),
                false => {
                    done.add(micro);
                    Ok(())
                }
            });
            step.unwrap();
            done.check(32);
        }
        let right = [32, 16, 8, 4, 2, 1].into_iter().find(|size| *size <= room);
        assert_eq!(Some(sizer.size()), right);
    }
}

#[test]
fn where_the_least_size_fails_the_error_comes_through() {
    let (sizer, ..) = sizer(8);
    let mut sizer = sizer.at_least(4);
    let mut calls = 0;
    let error = sizer.step(8, |_| {
        calls += 1;
        Err::<(), _>(refused())
    });
    assert_eq!(calls, 3, "8, 8 again, 4");
    assert!(is_allocation_failure(&*error.unwrap_err()));
    assert_eq!(sizer.size(), 4, "never 0");
}

#[test]
fn other_errors_and_panics_change_nothing() {
    let (mut sizer, _manager, backend) = sizer(8);
    let error = sizer.step(32, |_| Err::<(), _>("[matmul] shapes do not match"));
    assert_eq!(
        error.unwrap_err().to_string(),
        "[matmul] shapes do not match"
    );
    // A number of buffers, not of bytes: a smaller batch has as many.
    let error = sizer.step(32, |_| {
        Err::<(), _>("[metal::malloc] Resource limit (499000) exceeded.")
    });
    assert!(error.is_err());
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
        let _step = sizer.step(32, |_| -> Result<(), WorkError> {
            panic!("as the test asked")
        });
    }));
    assert!(panicked.is_err());
    assert_eq!((sizer.size(), cleared(&backend)), (8, 0));
    let mut done = Done::default();
    sizer
        .step(32, |micro| {
            done.add(micro);
            Ok::<(), WorkError>(())
        })
        .unwrap();
    done.check(32);
}

#[test]
fn an_evaluations_sizer_is_another() {
    let (mut training, manager, _backend) = sizer(8);
    let mut evaluation = BatchSizer::new(64).manager(&manager);
    let mut tries = 0;
    let step = evaluation.step(64, |_| {
        tries += 1;
        if tries < 3 { Err(refused()) } else { Ok(()) }
    });
    assert_eq!(step.unwrap().to, 32);
    assert_eq!(training.size(), 8);
    assert_eq!(
        training
            .step(8, |_| Ok::<(), WorkError>(()))
            .unwrap()
            .passes,
        1
    );
}

fn calm(sizer: &mut BatchSizer, steps: usize) -> usize {
    for _ in 0..steps {
        sizer.step(8, |_| Ok::<(), WorkError>(())).unwrap();
    }
    sizer.size()
}

#[test]
fn it_grows_back_after_calm_steps_and_waits_longer_where_that_did_not_last() {
    let (sizer, ..) = sizer(12);
    let mut sizer = sizer.grow_after(4);
    assert!(sizer.shrink() && sizer.shrink());
    assert_eq!(sizer.size(), 3);
    assert_eq!((calm(&mut sizer, 3), calm(&mut sizer, 1)), (3, 6));
    // It did not last for four steps: the next time after eight.
    calm(&mut sizer, 2);
    assert!(sizer.shrink());
    assert_eq!((calm(&mut sizer, 7), calm(&mut sizer, 1)), (3, 6));
    sizer.shrink();
    assert_eq!((calm(&mut sizer, 15), calm(&mut sizer, 1)), (3, 6));
    // It lasts: back to four.
    assert_eq!((calm(&mut sizer, 15), calm(&mut sizer, 1)), (6, 12));
    assert_eq!(calm(&mut sizer, 100), 12, "never above what it began with");
    sizer.shrink();
    assert_eq!((calm(&mut sizer, 3), calm(&mut sizer, 1)), (6, 12));
}

#[test]
fn it_never_grows_above_what_it_began_with() {
    let (sizer, ..) = sizer(10);
    let mut sizer = sizer.grow_after(1);
    assert!(sizer.shrink() && sizer.shrink());
    let sizes: Vec<usize> = (0..4).map(|_| calm(&mut sizer, 1)).collect();
    assert_eq!(sizes, [4, 8, 10, 10]);
    assert_eq!(sizer.largest(), 10);
}

#[test]
fn it_shrinks_under_pressure_down_to_the_least() {
    let (sizer, ..) = sizer(10);
    let mut sizer = sizer.at_least(2);
    let sizes: Vec<(bool, usize)> = (0..4).map(|_| (sizer.shrink(), sizer.size())).collect();
    assert_eq!(sizes, [(true, 5), (true, 2), (false, 2), (false, 2)]);
}

#[test]
fn a_cache_that_cannot_be_cleared_does_not_end_the_step() {
    let (mut sizer, _manager, backend) = sizer(8);
    backend.panic_setting(MemorySetting::Cache, true);
    let mut tries = 0;
    let step = sizer.step(8, |_| {
        tries += 1;
        if tries == 1 { Err(refused()) } else { Ok(()) }
    });
    assert_eq!(step.unwrap().failures, 1);
}

#[test]
fn refused_memory_is_known_by_its_texts_wherever_they_are_in_the_chain() {
    for text in [
        "[malloc] Unable to allocate 1073741824 bytes.",
        "[malloc_or_wait] Unable to allocate 16 bytes.",
        "[metal::malloc] Attempting to allocate 21474836480 bytes which is greater than the maximum allowed buffer size of 9 bytes.",
        "cudaMallocAsync(&data, size, stream) failed: out of memory",
        "CUDA_ERROR_OUT_OF_MEMORY",
        "[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
    ] {
        let error = BackendError::new("mlx_eval()").with_message(text);
        assert!(is_allocation_failure(&error), "{text}");
        let wrapped = Error::Work(error.into());
        assert!(is_allocation_failure(&wrapped), "{text}");
    }
    for text in [
        "[metal::malloc] Resource limit (499000) exceeded.",
        "[matmul] Last dimension of first input with shape (2,3) must match",
        "[malloc]",
        "",
    ] {
        let error = BackendError::new("mlx_eval()").with_message(text);
        assert!(!is_allocation_failure(&error), "{text}");
    }
}
