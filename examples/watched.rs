//! A program to watch: more work than its budget admits at once, and a socket that tells of it.
//!
//! ```sh
//! cargo run --example watched --features watch -- /tmp/watched.sock
//! cargo run --manifest-path watch/Cargo.toml -- /tmp/watched.sock        # in another terminal
//! ```
//!
//! Under `scripts/with-mlx` the work makes MLX's arrays; without MLX a recording device plays them. Ends with Ctrl-C, or after
//! the seconds that are named behind the socket.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mlx_wired::memory::monitor::Monitor;
use mlx_wired::{Config, Manager, SumPolicy};
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const BUDGET: u64 = 480 * MIB;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let socket = arguments.next().ok_or("name a path for the socket")?;
    let seconds = arguments.next().map_or(Ok(u64::MAX), |it| it.parse())?;
    let ends = Instant::now().checked_add(Duration::from_secs(seconds));

    let config = Config::default().budget(BUDGET);
    let manager = work::manager(config.stall_after(Duration::from_secs(10)))?;
    let monitor = Monitor::builder().manager(&manager).start()?;
    let _server = monitor.serve(&socket)?;
    let _decoder = monitor.uncounted("decoder", 32 * MIB);
    println!("serving {socket}");

    let policy = SumPolicy::capped(BUDGET);
    let weights = manager.ticket(&policy, 160 * MIB).label("weights");
    let weights = weights.reservation().acquire_owned()?;
    let kept = work::allocate(weights.bytes());
    let runs = || ends.is_none_or(|ends| Instant::now() < ends);
    thread::scope(|scope| {
        for worker in 0..4 {
            let step = manager.ticket(&policy, 96 * MIB).label("step");
            let runs = &runs;
            let name = format!("worker-{worker}");
            let works = move || {
                while runs() {
                    let Ok(_guard) = step.acquire() else { return };
                    let arrays = work::allocate(80 * MIB);
                    thread::sleep(Duration::from_millis(400 + 150 * worker));
                    drop(arrays);
                }
            };
            let thread = thread::Builder::new().name(name);
            thread.spawn_scoped(scope, works).expect("it starts");
        }
    });
    drop(kept);
    Ok(())
}

/// MLX's arrays.
#[cfg(any(target_vendor = "apple", with_mlx))]
mod work {
    use super::{Config, Error, Manager};
    use mlx_rs::Array;

    pub(crate) fn manager(config: Config) -> Result<Manager, Box<dyn Error>> {
        Ok(Manager::init_shared(config)?.clone())
    }

    pub(crate) fn allocate(bytes: u64) -> Array {
        let length = i32::try_from(bytes / 4).expect("it is no more than that");
        let array = Array::full::<f32>(&[length], Array::from_f32(1.0)).expect("it is made");
        array.eval().expect("there is room");
        array
    }
}

/// What a device without MLX plays.
#[cfg(not(any(target_vendor = "apple", with_mlx)))]
mod work {
    use super::{Config, Error, Manager};
    use mlx_wired::ffi::RecordingBackend;
    use std::sync::{Arc, LazyLock};

    static DEVICE: LazyLock<Arc<RecordingBackend>> =
        LazyLock::new(|| RecordingBackend::cpu().build());

    pub(crate) fn manager(config: Config) -> Result<Manager, Box<dyn Error>> {
        let manager = Manager::builder().backend(DEVICE.clone()).config(config);
        Ok(manager.build()?)
    }

    pub(crate) struct Array(u64);

    pub(crate) fn allocate(bytes: u64) -> Array {
        DEVICE.update_memory(|counters| {
            counters.active += bytes;
            counters.recorded_peak = counters.recorded_peak.max(counters.active);
            counters.cache = counters.cache.saturating_sub(bytes);
        });
        Array(bytes)
    }

    impl Drop for Array {
        fn drop(&mut self) {
            DEVICE.update_memory(|counters| {
                counters.active -= self.0;
                counters.cache = 32 << 20;
            });
        }
    }
}
