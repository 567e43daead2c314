//! What is in the way of a demand, for the errors that tell of it.

use crate::arbiter::{Cap, Formula};
use crate::backend::{Budget, Device, DeviceKind};
use crate::config::Config;
use crate::error::Obstacle;
use crate::manager::admission::judge::{Usage, is_below_most};
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::core::Core;
use crate::manager::state::demand::Demand;
use crate::manager::state::key::is_of_new;
use crate::manager::state::request::Request;
use crate::manager::state::settings::{Settings, ceiling};

impl Inner {
    /// Why a demand is not admitted that meets this usage; `own` is its key in the queue.
    pub(crate) fn obstacle(
        &self,
        core: &Locked<'_>,
        demand: Demand<'_>,
        usage: &Usage,
        own: Option<u64>,
    ) -> Obstacle {
        let request = demand.request;
        let more = request.bytes().saturating_sub(demand.held());
        let sum = usage.in_use.saturating_add(more);
        if usage.capacity.is_some_and(|capacity| sum > capacity) {
            return if usage.of_all {
                Obstacle::Budget
            } else {
                self.by_policy(core, request, sum)
            };
        }
        let index = request.group().index;
        let elastic = Obstacle::Elastic {
            level: core.level(),
            percent: (core.share() * 100.0).round() as u8,
        };
        if demand
            .waiter
            .is_some_and(|waiter| core.is_delayed_aside(waiter))
        {
            return elastic;
        }
        let first = self.next_queued(core, index, None).map(|(key, _)| key);
        let is_behind = |first| match own {
            Some(own) => first < own,
            // A growing guard comes before every new one.
            None => demand.from.is_none() || !is_of_new(first),
        };
        if first.is_some_and(is_behind) {
            return Obstacle::Line;
        }
        if let Some(most) = request.most().filter(|_| !is_below_most(core, demand)) {
            return Obstacle::AtMost { most };
        }
        if self.is_delayed(core, demand) {
            return elastic;
        }
        if request.is_pinned() && !request.group().custom {
            return Obstacle::Promised;
        }
        // A policy of the program's own, or guards were released since it was asked.
        self.by_policy(core, request, sum)
    }

    /// What lets the request's policy refuse, where its group would hold `sum`.
    pub(crate) fn by_policy(&self, core: &Core, request: &Request, sum: u64) -> Obstacle {
        match request.formula() {
            Formula::Custom if core.pressure > 0.0 => Obstacle::Pressure {
                percent: (core.pressure * 100.0).round() as u8,
            },
            Formula::Custom => Obstacle::Policy,
            Formula::Sum {
                base,
                cap: Cap::Device,
            } => {
                let before = core.admission_baseline().saturating_add(base);
                let measured = core.measured.budget;
                device(
                    &core.config,
                    &self.device,
                    measured,
                    before.saturating_add(sum),
                )
            }
            Formula::Sum {
                cap: Cap::Bytes(_), ..
            } => Obstacle::Cap,
            // They refuse nothing themselves.
            _ => Obstacle::Line,
        }
    }
}

/// Why a policy capped by the device may not hold `bytes`: what would have to change, or the least of what bounds.
fn device(config: &Config, device: &Device, measured: Option<Budget>, bytes: u64) -> Obstacle {
    let budget = |margin, reserve| {
        let config = Config {
            margin,
            reserve,
            ..config.clone()
        };
        let settings = Settings::of(&config, device, measured, None);
        settings.budget.unwrap_or(u64::MAX)
    };
    let (margin, reserve) = (config.margin, config.reserve);
    let fits = |margin, reserve| bytes <= budget(margin, reserve);
    let reserve_is_least = budget(margin, 0) > budget(margin, reserve);
    if reserve_is_least && (fits(margin, 0) || !fits(0.0, reserve)) {
        Obstacle::Reserve
    } else if margin > 0.0 && fits(0.0, 0) {
        Obstacle::Margin
    } else {
        Obstacle::Device {
            wired_limit_mb: wired_limit_mb(config, device, bytes),
        }
    }
}

/// The system's limit, in MiB, with which the ceiling would be at least `bytes`: if there is one that leaves the system
/// enough to run.
fn wired_limit_mb(config: &Config, device: &Device, bytes: u64) -> Option<u32> {
    let is_mac = device.kind == DeviceKind::Metal && device.support.is_supported();
    let recommended = device.max_recommended_working_set_size.filter(|_| is_mac)?;
    let memory = device.memory_size?;
    let before_margin = bytes as f64 / (1.0 - config.margin);
    let mib = (before_margin / (1 << 20) as f64).ceil();
    if !mib.is_finite() || mib > f64::from(u32::MAX) {
        return None;
    }
    let mib = mib as u32;
    let limit = u64::from(mib) << 20;
    // With less the machine freezes.
    let kept = (memory / 16).max(2 << 30);
    let raised = Device {
        max_recommended_working_set_size: Some(limit),
        memory_size: Some(memory),
        ..Device::new(device.kind, device.support)
    };
    let helps = limit > recommended && ceiling(config, &raised).bytes >= bytes;
    (helps && limit <= memory.saturating_sub(kept)).then_some(mib)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Support;

    const GIB: u64 = 1 << 30;

    fn mac() -> Device {
        Device {
            max_recommended_working_set_size: Some(48 * GIB),
            memory_size: Some(64 * GIB),
            ..Device::new(DeviceKind::Metal, Support::Supported)
        }
    }

    /// What is in the way, by what the margin leaves, what the reserve leaves, and what is asked for, in GiB.
    #[test]
    fn r37_of_margin_reserve_and_device_the_one_that_helps_is_named() {
        let named = |by_margin: u64, by_reserve: u64, asked: u64| {
            let margin = 1.0 - by_margin as f64 / 48.0;
            let config = Config::default()
                .margin(margin)
                .reserve((64 - by_reserve) * GIB);
            device(&config, &mac(), None, asked * GIB)
        };
        let raised = |gib: u32| Obstacle::Device {
            wired_limit_mb: Some(gib * 1024),
        };
        assert_eq!(named(48, 64, 49), raised(49), "neither is configured");
        assert_eq!(named(48, 56, 49), raised(49), "the reserve leaves enough");
        assert_eq!(named(48, 24, 30), Obstacle::Reserve);
        assert_eq!(named(48, 24, 50), Obstacle::Reserve, "it is the least");
        assert_eq!(named(24, 64, 30), Obstacle::Margin);
        assert_eq!(named(24, 40, 30), Obstacle::Margin);
        assert_eq!(named(40, 24, 30), Obstacle::Reserve);
        assert_eq!(
            named(24, 20, 30),
            Obstacle::Reserve,
            "both; it is the least"
        );
        assert_eq!(named(20, 24, 30), Obstacle::Margin, "both; it is the least");
        assert_eq!(named(24, 64, 25), Obstacle::Margin);
        assert_eq!(
            named(24, 64, 60),
            Obstacle::Device {
                wired_limit_mb: None
            },
            "twice 60 are needed"
        );
        // What fits by now is told of the device, and nothing is to be raised.
        assert_eq!(
            named(48, 64, 40),
            Obstacle::Device {
                wired_limit_mb: None
            }
        );
    }

    #[test]
    fn r37_no_size_wraps() {
        for bytes in [0, 1, u64::MAX / 2, u64::MAX] {
            for margin in [0.0, 0.5, 1.0] {
                for reserve in [0, GIB, u64::MAX] {
                    let config = Config::default().margin(margin).reserve(reserve);
                    let unknown = Device::new(DeviceKind::Cpu, Support::NoMlx);
                    for of in [mac(), unknown] {
                        let obstacle = device(&config, &of, None, bytes);
                        if let Obstacle::Device {
                            wired_limit_mb: Some(mib),
                        } = obstacle
                        {
                            assert!(u64::from(mib) << 20 >= bytes, "{mib} for {bytes}");
                        }
                    }
                }
            }
        }
    }
}
