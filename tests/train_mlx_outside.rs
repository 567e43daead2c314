//! Memory outside MLX that grows, on MLX; alone in its process, since memory that other tests have freed would serve the
//! leak, and nothing would grow.

#![cfg(any(target_vendor = "apple", with_mlx))]

#[path = "train_mlx/network.rs"]
#[allow(dead_code, reason = "the other tests use all of it")]
mod network;

use mlx_wired::train::{GrowthCause, Run};
use network::Network;
use std::time::Duration;

const MIB: u64 = 1 << 20;

#[test]
fn what_the_program_keeps_itself_is_outside_mlx() {
    for healthy in [0, 30] {
        let mut network = Network::new(6);
        let run = Run::builder().outside_every(Duration::ZERO);
        let run = run.start().unwrap();
        let mut kept = Vec::new();
        let growth = (1..=healthy + 10).find_map(|n| {
            let step = run.step(|| {
                let batch = network.batch(64);
                if n > healthy {
                    kept.push(vec![1_u8; MIB as usize]);
                }
                network.step(&batch)
            });
            let (_, report) = step.unwrap();
            report.growth.map(|growth| (n, growth))
        });
        let (n, growth) = growth.expect("within ten steps");
        assert!(n > healthy, "in a healthy step");
        assert_eq!(growth.cause, GrowthCause::Outside, "{growth}");
        assert!(
            (MIB / 2..=2 * MIB).contains(&growth.bytes_per_step),
            "{growth}"
        );
        // Not given back to the next.
        std::mem::forget(kept);
    }
}
