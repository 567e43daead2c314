//! How managers come to be: the builder, the shared one, and who owns a backend.

use super::core::Core;
use super::figures::Figures;
use super::groups::Groups;
use super::owed::Owed;
use super::wait_times::WaitRecord;
use super::{Config, Handle, Inner, Manager, Owner, Stats, WireMode, config, finishing};
use crate::Error;
use crate::clock::{Clock, SystemClock};
use crate::event::{Bus, Journal};
use crate::ffi::{self, Backend, Device, NoMlx};
use crate::fork;
use crate::snapshot::{Ceiling, CeilingSource};
use crate::sync::{Arc, AtomicBool, AtomicU64, Futex, Mutex, unmodelled};
use crate::trace::Kept;
use crossbeam::atomic::AtomicCell;
use std::sync::OnceLock;

/// The environment variable that switches wiring off: `never`; `auto` is the default.
const WIRED_VARIABLE: &str = "MLX_WIRED";

/// The environment variable that keeps the library from printing: anything but `0`.
const QUIET_VARIABLE: &str = "MLX_WIRED_QUIET";

static SHARED: OnceLock<Manager> = OnceLock::new();

/// The backends' resources that live managers own.
static OWNED: unmodelled::Mutex<Vec<&'static str>> = unmodelled::Mutex::new(Vec::new());

pub(super) fn claim(resource: &'static str) -> Result<(), Error> {
    let mut owned = OWNED.lock();
    if owned.contains(&resource) {
        return Err(Error::BackendInUse { resource });
    }
    owned.push(resource);
    Ok(())
}

pub(super) fn disclaim(resource: &'static str) {
    OWNED.lock().retain(|owned| *owned != resource);
}

/// Builds a [`Manager`].
///
/// ```
/// use mlx_wired::clock::FakeClock;
/// use mlx_wired::ffi::RecordingBackend;
/// use mlx_wired::{Config, Manager};
///
/// let manager = Manager::builder()
///     .backend(RecordingBackend::metal().build())
///     .clock(FakeClock::new())
///     .config(Config::default().margin(0.1))
///     .build()?;
/// # Ok::<(), mlx_wired::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManagerBuilder {
    backend: Option<Arc<dyn Backend>>,
    clock: Arc<dyn Clock>,
    config: Config,
}

impl ManagerBuilder {
    /// The backend. Default: MLX where it is [linked](crate::ffi::LINKED), which one manager owns at a time; else
    /// [`NoMlx`](crate::ffi::NoMlx), which any number may have.
    #[must_use]
    pub fn backend(mut self, backend: impl Backend) -> Self {
        self.backend = Some(Arc::new(backend));
        self
    }

    /// The clock. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The settings. Default: [`Config::default`].
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The backend, if one was given.
    #[must_use]
    pub fn get_backend(&self) -> Option<&dyn Backend> {
        self.backend.as_deref()
    }

    /// The clock.
    #[must_use]
    pub fn get_clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The settings.
    #[must_use]
    pub fn get_config(&self) -> &Config {
        &self.config
    }

    /// Builds the manager.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for a value out of range, [`Error::BackendInUse`] if another manager owns the
    /// backend's resource, [`Error::Forked`] in a forked child.
    pub fn build(self) -> Result<Manager, Error> {
        fork::check()?;
        let manager = self.build_unclaimed()?;
        manager.0.inner.claim()?;
        Ok(manager)
    }

    fn build_unclaimed(self) -> Result<Manager, Error> {
        fork::watch();
        let config = self.config.validate()?;
        let backend = self.backend.unwrap_or_else(ffi::default_backend);
        let device = backend.device();
        let exclusive = backend.exclusive();
        // The environment speaks for the process's own limit, not for tests' recording backends.
        let environment = exclusive.and_then(|_| std::env::var_os(WIRED_VARIABLE));
        let environment = environment
            .filter(|value| value != "auto")
            .map(|value| value.to_string_lossy().into_owned());
        let settings = Settings::new(&config, &device, environment.as_deref())?;
        let overruled = settings.mode != config.mode;
        let unrecognised = environment
            .clone()
            .filter(|value| overruled && value != "never");
        let quiet = std::env::var_os(QUIET_VARIABLE);
        let quiet = quiet.is_some_and(|value| !value.is_empty() && value != "0");
        let finishes_each = unmodelled::AtomicBool::new(settings.finishes_each);
        let built = Built { config, settings };
        let core = built.core(&device);
        let figures = core.figures.clone();
        let inner = Arc::new_cyclic(|this| Inner {
            this: this.clone(),
            core: Mutex::new(core),
            built,
            turn: Futex::new(0),
            clock: self.clock,
            backend,
            device,
            events: Bus::default(),
            tickets: unmodelled::Mutex::default(),
            epoch: AtomicU64::new(0),
            finishes_each,
            claimed: AtomicBool::new(exclusive.is_none()),
            owners: unmodelled::AtomicU64::new(0),
            unrecognised_mode: Mutex::new(unrecognised),
            environment,
            quiet,
            figures,
        });
        let inner = Owner::new(&inner);
        Ok(Manager(Arc::new(Handle { inner })))
    }
}

impl Manager {
    /// A builder: for a manager of MLX's limit that is not the shared one, or an isolated one on another backend.
    #[must_use]
    pub fn builder() -> ManagerBuilder {
        ManagerBuilder {
            backend: None,
            clock: Arc::new(SystemClock),
            config: Config::default(),
        }
    }

    /// The process's manager, on MLX where it is linked. Made on first use with [`Config::default`], unless
    /// [`init_shared`](Self::init_shared) came first.
    ///
    /// If another manager owns MLX's limit, acquiring from this one is [`Error::BackendInUse`]
    /// until that one is gone. In a forked child it is [`Error::Forked`], as from any other.
    #[must_use]
    pub fn shared() -> &'static Self {
        if fork::is_child() {
            return Self::of_child();
        }
        SHARED.get_or_init(|| {
            let manager = Self::shared_builder(Config::default())
                .build_unclaimed()
                .expect("the default settings are valid");
            // An acquire tries again and reports it.
            let _owned_by_another = manager.0.inner.claim();
            manager
        })
    }

    /// The shared manager of a forked child: its parent's if that was made, else one of its own, which gives nothing either.
    fn of_child() -> &'static Self {
        // Without a lock: a thread that was making one may be missing, here and in a child of this one.
        static OWN: AtomicCell<Option<&'static Manager>> = AtomicCell::new(None);
        if let Some(made) = SHARED.get().or_else(|| OWN.load()) {
            return made;
        }
        let own = Self::builder().backend(NoMlx::new()).build_unclaimed();
        let own: &'static Self = Box::leak(Box::new(own.expect("the default settings are valid")));
        OWN.store(Some(own));
        own
    }

    /// Makes the process's manager with these settings.
    ///
    /// # Errors
    ///
    /// [`Error::SharedExists`] if it exists already; else as [`ManagerBuilder::build`].
    pub fn init_shared(config: Config) -> Result<&'static Self, Error> {
        fork::check()?;
        let manager = Self::shared_builder(config).build_unclaimed()?;
        if SHARED.get().is_some() {
            return Err(Error::SharedExists);
        }
        manager.0.inner.claim()?;
        SHARED.set(manager).map_err(|_| Error::SharedExists)?;
        Ok(SHARED.get().expect("set just now"))
    }

    fn shared_builder(config: Config) -> ManagerBuilder {
        Self::builder().config(config)
    }
}

/// What a manager was built with.
pub(super) struct Built {
    config: Config,
    settings: Settings,
}

impl Built {
    /// The state of a manager that has done nothing yet.
    pub(super) fn core(&self, device: &Device) -> Core {
        let Self { config, settings } = self;
        let core = Core {
            mode: settings.mode,
            supported: device.support.is_supported(),
            ceiling: settings.ceiling,
            maximum: device.max_wired_limit(),
            budget: settings.budget,
            config: config.clone(),
            settings: 0,
            figures: Arc::new(Figures::default()),
            groups: Groups::default(),
            busy: false,
            left_over: false,
            applied: 0,
            known: false,
            guaranteed: None,
            standing: None,
            epoch: Default::default(),
            owed: Owed::default(),
            last_change: None,
            uncovered: Default::default(),
            waiting: 0,
            standstill: None,
            above_ceiling: false,
            sleepers: 0,
            closed: false,
            abandoned: false,
            pressure: 0.0,
            housekeeper: None,
            houseless: false,
            kept: None,
            revisit: Vec::new(),
            replaced: Vec::new(),
            stats: Stats::default(),
            wait_times: WaitRecord::default(),
            traced: Kept::default(),
            journal: Journal::default(),
            told_of_skipping: false,
            tell_computed: false,
            holds: 0,
        };
        core.figures.publish(&core);
        core
    }
}

/// What follows from the settings, the device and the environment.
pub(super) struct Settings {
    pub(super) mode: WireMode,
    pub(super) ceiling: u64,
    pub(super) budget: Option<u64>,
    /// Each release of a driving guard finishes its work first.
    pub(super) finishes_each: bool,
}

impl Settings {
    pub(super) fn new(
        config: &Config,
        device: &Device,
        environment: Option<&str>,
    ) -> Result<Self, Error> {
        let mode = match (config.mode, environment) {
            // Whatever else it says.
            (WireMode::Auto, Some(_)) => WireMode::Never,
            (mode, _) => mode,
        };
        let supported = device.support.is_supported();
        let ceiling = if supported {
            ceiling(config, device).bytes
        } else {
            u64::MAX
        };
        if let Some(bytes) = config.baseline_override
            && bytes > ceiling
        {
            let reason = format!(
                "{} is above the ceiling of {}",
                crate::error::Bytes(bytes),
                crate::error::Bytes(ceiling)
            );
            return Err(config::invalid("baseline_override", reason));
        }
        Ok(Self {
            mode,
            ceiling,
            budget: device_budget(config, device),
            finishes_each: finishing::finishes_each(config, mode, device),
        })
    }
}

/// What a policy capped by the device may hold.
pub(super) fn device_budget(config: &Config, device: &Device) -> Option<u64> {
    if device.support.is_supported() {
        Some(ceiling(config, device).bytes)
    } else {
        device.budget
    }
}

/// min(recommended x (1 - margin), memory size - reserve), always below the memory size.
pub(super) fn ceiling(config: &Config, device: &Device) -> Ceiling {
    let recommended = device.max_recommended_working_set_size.unwrap_or(u64::MAX);
    let memory_size = device.memory_size.unwrap_or(u64::MAX);
    let (margin, reserve) = ((recommended as f64 * config.margin) as u64, config.reserve);
    let by_recommended = recommended.saturating_sub(margin);
    let by_memory = memory_size
        .saturating_sub(reserve)
        .min(device.max_wired_limit());
    if by_recommended <= by_memory {
        Ceiling {
            bytes: by_recommended,
            source: CeilingSource::Recommended {
                recommended,
                margin,
            },
        }
    } else {
        Ceiling {
            bytes: by_memory,
            source: CeilingSource::Memory {
                memory_size,
                reserve,
            },
        }
    }
}

/// The first field that differs and can change only while idle.
pub(super) fn idle_only_change(old: &Config, new: &Config) -> Option<&'static str> {
    [
        ("mode", old.mode != new.mode),
        (
            "baseline_override",
            old.baseline_override != new.baseline_override,
        ),
        ("margin", old.margin != new.margin),
        ("reserve", old.reserve != new.reserve),
        ("budget", old.budget != new.budget),
    ]
    .into_iter()
    .find_map(|(field, changed)| changed.then_some(field))
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::ffi::RecordingBackend;
    use crate::{Error, Manager, SumPolicy};

    #[test]
    fn a_manager_that_owns_nothing_lets_nobody_in() -> Result<(), Error> {
        let builder = || {
            let backend = RecordingBackend::metal().exclusive("taken by the first");
            Manager::builder().backend(backend.build())
        };
        let owner = builder().build()?;
        // As the shared one is made.
        let other = builder().build_unclaimed()?;
        let ticket = other.ticket(&SumPolicy::uncapped(), 1);
        let in_use = || ticket.acquire().err();
        let expected = Error::BackendInUse {
            resource: "taken by the first",
        };
        other.maintain();
        assert_eq!(in_use(), Some(expected.clone()));
        other.poke()?;
        assert_eq!(in_use(), Some(expected));
        drop(owner);
        drop(ticket.acquire()?);
        Ok(())
    }
}
