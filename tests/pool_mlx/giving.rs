use super::{EVERY_DTYPE, PAGE, address, alone, keeps, kept, pool, refuse_over};
use mlx_rs::{Array, Dtype, array};
use mlx_wired::ffi::NoMlx;
use mlx_wired::memory::{BufferPool, PoolBuf, PoolError};
use mlx_wired::{Manager, SumPolicy};
use std::thread;
use std::time::{Duration, Instant};

/// A buffer full of one float, and where it is.
fn filled(pool: &BufferPool, len: usize, value: f32) -> (PoolBuf, usize) {
    let mut buffer = pool.get(len).unwrap();
    for place in buffer.chunks_exact_mut(4) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
    let at = buffer.as_ptr() as usize;
    (buffer, at)
}

fn floats(buffer: PoolBuf, count: usize) -> Array {
    buffer.into_array(&[count as i32], Dtype::Float32).unwrap()
}

fn active() -> usize {
    mlx_rs::memory::active_memory().unwrap()
}

#[test]
fn whole_pages_are_kept_where_mlx_keeps_and_come_back_once() {
    let (_alone, pool) = pool();
    let (buffer, at) = filled(&pool, 64 * PAGE, 3.0);
    let before = active();
    let array = floats(buffer, 16 * PAGE);
    assert_eq!(address(&array) == at, keeps());
    assert_eq!(
        active() - before,
        64 * PAGE,
        "MLX counts it, kept or copied"
    );
    assert_eq!(pool.stats().in_use > 0, keeps());
    assert!(array.as_slice::<f32>().iter().all(|value| *value == 3.0));
    drop(array);
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.idle_blocks), (0, 1), "once, not twice");
    assert_eq!(active(), before);
    assert_eq!(pool.get(64 * PAGE).unwrap().as_ptr() as usize, at);
    assert!(kept().is_none_or(|left| left == 0));
}

#[test]
fn what_has_no_whole_pages_is_copied_and_back_at_once() {
    let (_alone, pool) = pool();
    for bytes in [0, 4, 2048, PAGE + 4] {
        let (buffer, at) = filled(&pool, bytes, 1.0);
        let array = floats(buffer, bytes / 4);
        assert_eq!(pool.stats().in_use, 0, "{bytes} bytes");
        if bytes > 0 {
            assert_ne!(address(&array), at);
            assert_eq!(array.as_slice::<f32>()[0], 1.0);
        }
    }
}

#[test]
fn every_length_of_whole_pages_is_kept_with_pages_of_either_size() {
    let (_alone, pool) = pool();
    for pages in 1..=9 {
        let (buffer, at) = filled(&pool, pages * PAGE, 1.0);
        let array = floats(buffer, pages * PAGE / 4);
        assert_eq!(address(&array) == at, keeps(), "{pages} pages");
    }
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn a_shape_is_checked_before_mlx_reads() {
    let (_alone, pool) = pool();
    for shape in [&[1025][..], &[33, 32], &[-1], &[-1, -1], &[i32::MAX; 4]] {
        let (buffer, _) = filled(&pool, 4096, 1.0);
        let error = buffer.into_array(shape, Dtype::Float32).unwrap_err();
        assert!(matches!(error, PoolError::Shape { .. }), "{error}");
        assert!(error.to_string().len() <= 160, "{error}");
        assert_eq!(pool.stats().in_use, 0);
    }
    let (buffer, _) = filled(&pool, 4096, 1.0);
    let error = buffer.into_array(&[40, 40], Dtype::Float32).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an array [40, 40] of Float32 has 6400 bytes, the buffer 4096; ask the pool for as many"
    );
    let (buffer, _) = filled(&pool, 4096, 1.0);
    let part = buffer.into_array(&[8], Dtype::Float32).unwrap();
    assert_eq!(part.as_slice::<f32>(), [1.0; 8]);
}

#[test]
fn every_type_and_shape() {
    let (_alone, pool) = pool();
    for dtype in EVERY_DTYPE {
        for shape in [&[][..], &[7], &[2, 3], &[1, 2, 1, 3], &[0], &[4, 0]] {
            let (buffer, _) = filled(&pool, 64, 1.0);
            let array = buffer.into_array(shape, dtype);
            let array = array.unwrap_or_else(|error| panic!("{shape:?} of {dtype:?}: {error}"));
            assert_eq!((array.shape(), array.dtype()), (shape, dtype));
            array.eval().unwrap();
        }
    }
    assert_eq!(pool.stats().in_use, 0);
    let (buffer, _) = filled(&pool, 64, 1.0);
    let error = buffer.into_array(&[9], Dtype::Complex64).unwrap_err();
    assert!(
        matches!(
            error,
            PoolError::Shape {
                needed: Some(72),
                available: 64,
                ..
            }
        ),
        "{error}"
    );
}

/// Rust has no other bools than 0 and 1, and a buffer has whatever bytes.
#[test]
fn bools_are_made_of_whatever_bytes() {
    let (_alone, pool) = pool();
    let mut buffer = pool.get(PAGE).unwrap();
    for (place, byte) in buffer.iter_mut().enumerate() {
        *byte = place as u8;
    }
    let array = buffer.into_array(&[PAGE as i32], Dtype::Bool).unwrap();
    let numbers = array.view::<u8>().unwrap();
    let right = |(place, number): (usize, &u8)| *number == u8::from(place % 256 != 0);
    assert!(numbers.as_slice::<u8>().iter().enumerate().all(right));
}

/// MLX has no memory for its copy, and never calls the deleter. The CPU build as it is ends the process.
#[test]
fn a_buffer_comes_back_where_mlx_makes_no_array() {
    let (_alone, pool) = pool();
    // Not whole pages, so that it is copied.
    let buffer = pool.get(PAGE + 4).unwrap();
    if !refuse_over(PAGE) {
        return;
    }
    let result = buffer.into_array(&[PAGE as i32 / 4 + 1], Dtype::Float32);
    refuse_over(usize::MAX);
    let error = result.unwrap_err();
    assert!(matches!(error, PoolError::Mlx(_)), "{error}");
    assert_eq!((pool.stats().in_use, pool.stats().idle_blocks), (0, 1));
    // What follows works.
    let (buffer, _) = filled(&pool, PAGE, 1.0);
    assert_eq!(floats(buffer, PAGE / 4).as_slice::<f32>()[0], 1.0);
}

#[test]
fn a_view_keeps_the_buffer() {
    let (_alone, pool) = pool();
    let (buffer, at) = filled(&pool, 4 * PAGE, 1.0);
    let array = floats(buffer, PAGE);
    let view = array.reshape(&[4, PAGE as i32 / 4]).unwrap();
    view.eval().unwrap();
    drop(array);
    assert_eq!(pool.stats().in_use > 0, keeps());
    assert_eq!(address(&view) == at, keeps());
    drop(view);
    assert_eq!(pool.stats().in_use, 0);
}

/// MLX writes a result where its input was, if nothing else has the input: into the buffer, which is MLX's then.
#[test]
fn a_donated_buffer_comes_back_with_the_result() {
    let (_alone, pool) = pool();
    let (buffer, at) = filled(&pool, 4 * PAGE, 1.0);
    let input = floats(buffer, PAGE);
    let sum = input.add(array!(1.0_f32)).unwrap();
    drop(input);
    sum.eval().unwrap();
    assert_eq!(address(&sum) == at, keeps());
    assert_eq!(pool.stats().in_use > 0, keeps());
    assert!(sum.as_slice::<f32>().iter().all(|value| *value == 2.0));
    drop(sum);
    assert_eq!((pool.stats().in_use, pool.stats().idle_blocks), (0, 1));
}

#[test]
fn an_input_that_is_still_held_is_not_written() {
    let (_alone, pool) = pool();
    let (buffer, _) = filled(&pool, 4 * PAGE, 1.0);
    let input = floats(buffer, PAGE);
    let sum = input.add(array!(1.0_f32)).unwrap();
    sum.eval().unwrap();
    assert!(input.as_slice::<f32>().iter().all(|value| *value == 1.0));
    assert_ne!(address(&sum), address(&input));
}

/// A buffer is given by value, so two arrays over one cannot be written; their clones share one array of MLX's.
#[test]
fn two_arrays_never_share_a_buffer() {
    let (_alone, pool) = pool();
    let arrays: Vec<_> = (0..8_u8)
        .map(|tag| floats(filled(&pool, 4 * PAGE, f32::from(tag)).0, PAGE))
        .collect();
    let clones = arrays.clone();
    let mut places: Vec<_> = arrays.iter().map(address).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 8);
    for (tag, array) in arrays.into_iter().enumerate() {
        let sum = array.add(array!(100.0_f32)).unwrap();
        drop(array);
        sum.eval().unwrap();
        assert_eq!(
            clones[tag].as_slice::<f32>()[0],
            tag as f32,
            "a clone holds it"
        );
    }
    drop(clones);
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn an_array_outlives_its_pool() {
    let _alone = alone();
    let manager = Manager::builder().backend(NoMlx::new()).build().unwrap();
    let policy = SumPolicy::capped(1 << 20);
    let pool = BufferPool::builder("test").counted_by(&manager, &policy);
    let pool = pool.build();
    let (buffer, _) = filled(&pool, 4 * PAGE, 7.0);
    let array = floats(buffer, PAGE);
    drop(pool);
    assert!(array.as_slice::<f32>().iter().all(|value| *value == 7.0));
    assert_eq!(kept().unwrap_or(1), 1);
    // What counts the block goes with it: by the deleter, which is the last to have it.
    let probe = manager.ticket(&policy, 1);
    assert_eq!(probe.in_use() > 0, keeps());
    drop(array);
    assert_eq!((kept().unwrap_or(0), probe.in_use()), (0, 0));
}

#[test]
fn the_last_handle_may_go_on_another_thread() {
    let (_alone, pool) = pool();
    let (buffer, _) = filled(&pool, 4 * PAGE, 7.0);
    let array = floats(buffer, PAGE);
    thread::spawn(move || drop(array)).join().unwrap();
    assert_eq!((pool.stats().in_use, pool.stats().idle_blocks), (0, 1));
}

/// The handles go while MLX works: what has the buffer last is MLX's own thread.
#[test]
fn mlx_may_let_go_on_a_thread_of_its_own() {
    let (_alone, pool) = pool();
    let (buffer, _) = filled(&pool, 4 * PAGE, 1.0);
    let array = floats(buffer, PAGE);
    let large = mlx_rs::ops::ones::<f32>(&[900, 900]).unwrap();
    let busy = large.matmul(&large).unwrap().sum(None).unwrap();
    let all = array.sum(None).unwrap().add(busy).unwrap();
    mlx_rs::transforms::async_eval([&all]).unwrap();
    drop(array);
    all.eval().unwrap();
    let start = Instant::now();
    while pool.stats().in_use > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it never comes back"
        );
        thread::yield_now();
    }
    assert_eq!(pool.stats().idle_blocks, 1);
}

#[test]
fn threads_give_and_drop_arrays_beside_each_other() {
    let _alone = alone();
    let pool = BufferPool::builder("test").limit(8 * PAGE as u64).build();
    thread::scope(|scope| {
        for worker in 0..4_u8 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..100_u8 {
                    let value = f32::from(worker) * 1000.0 + f32::from(round);
                    let buffer = pool.get_timeout(PAGE, Duration::from_secs(60));
                    let mut buffer = buffer.unwrap();
                    for place in buffer.chunks_exact_mut(4) {
                        place.copy_from_slice(&value.to_ne_bytes());
                    }
                    let array = floats(buffer, PAGE / 4);
                    let sum = array.add(array!(1.0_f32)).unwrap();
                    if round % 2 == 0 {
                        drop(array);
                    }
                    sum.eval().unwrap();
                    let values = sum.as_slice::<f32>();
                    assert!(values.iter().all(|sum| *sum == value + 1.0));
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.hits + stats.misses), (0, 400));
    assert!(kept().is_none_or(|left| left == 0));
}
