//! Guards that grow a little at a time, as caches of keys and values do: how often the setter is called.

use crate::report::Report;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Error, Manager, OwnedGuard, SumPolicy};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const GROWTHS: u64 = 1_000;
/// As many calls as there are growth steps, and one more.
const CALLS: f64 = 65.0;

pub(crate) fn run(report: &mut Report) {
    for guards in [1, 16] {
        let row = format!("growing/{guards}/setter-calls");
        if report.wants(&row) {
            let calls = calls(guards).expect("nothing is in the way");
            report.at_most(row, calls as f64, CALLS, None);
        }
    }
}

/// The calls while so many guards grow by turns, a MiB each time.
fn calls(guards: u64) -> Result<usize, Error> {
    let device = RecordingBackend::metal()
        .recommended(64 * GIB)
        .memory_size(96 * GIB);
    let backend = device.build();
    let manager = Manager::builder().backend(backend.clone()).build()?;
    let cache = manager.ticket(&SumPolicy::new(), MIB);
    let caches = (0..guards).map(|_| cache.acquire_owned());
    let mut caches: Vec<OwnedGuard> = caches.collect::<Result<_, _>>()?;
    for growth in 0..GROWTHS {
        let cache = &mut caches[(growth % guards) as usize];
        cache.resize(cache.bytes() + MIB)?;
    }
    Ok(backend.call_count())
}
