//! How managers come to be: the builder, and the shared one.

use crate::Error;
use crate::backend::{self, Backend, Budget, NoMlx};
use crate::config::Config;
use crate::event::Bus;
use crate::fork;
use crate::holders;
use crate::manager::inner::Inner;
use crate::manager::inner::built::Built;
use crate::manager::inner::owner::Owner;
use crate::manager::state::reclaimers::Reclaimers;
use crate::manager::state::settings;
use crate::manager::state::settings::{Measurement, Settings};
use crate::manager::{Handle, Manager};
use crate::sync::{Arc, AtomicBool, AtomicU64, Futex, Mutex, unmodelled};
use crate::time::{Clock, SystemClock};
use crate::user_code;
use crossbeam::atomic::AtomicCell;
use std::panic::Location;
use std::sync::OnceLock;

/// The environment variable that switches wiring off: `never`; `auto` is the default, and what an empty one means.
const WIRED_VARIABLE: &str = "MLX_WIRED";

/// The environment variable that keeps the library from printing: anything but `0`.
const QUIET_VARIABLE: &str = "MLX_WIRED_QUIET";

static SHARED: OnceLock<Manager> = OnceLock::new();

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
    /// [`NoMlx`], which any number may have.
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
    /// backend's resource; that one says where the other was built. [`Error::Forked`] in a forked child.
    #[track_caller]
    pub fn build(self) -> Result<Manager, Error> {
        fork::check()?;
        let manager = self.build_unclaimed(Location::caller())?;
        manager.0.inner.claim()?;
        Ok(manager)
    }

    fn build_unclaimed(self, built_at: &'static Location<'static>) -> Result<Manager, Error> {
        holders::watch_forks();
        let config = self.config.validate()?;
        let backend = self.backend.unwrap_or_else(backend::default_backend);
        let device = backend.device();
        let exclusive = backend.exclusive();
        // The environment speaks for the process's own limit, not for tests' recording backends.
        let environment = exclusive.and_then(|_| std::env::var_os(WIRED_VARIABLE));
        let environment = environment
            .filter(|value| value != "auto" && !value.is_empty())
            .map(|value| value.to_string_lossy().into_owned());
        settings::check(&config, &device)?;
        let described = Budget::of(&device);
        let budget = if device.support.is_supported() {
            described
        } else {
            user_code::catch(|| backend.budget(0)).unwrap_or(described)
        };
        let measured = Measurement { number: 0, budget };
        let settings = Settings::of(&config, &device, measured.budget, environment.as_deref());
        let overruled = settings.mode != config.mode;
        let unrecognised = environment
            .clone()
            .filter(|value| overruled && value != "never");
        let quiet = std::env::var_os(QUIET_VARIABLE);
        let quiet = quiet.is_some_and(|value| !value.is_empty() && value != "0");
        let finishes_each = unmodelled::AtomicBool::new(settings.finishes_each);
        let built = Built {
            config,
            settings,
            measured,
        };
        let core = built.core(&device);
        let figures = core.figures.clone();
        let inner = Arc::new_cyclic(|this| Inner {
            this: this.clone(),
            core: Mutex::new(core),
            built,
            calls_word: Futex::new(0),
            clock: self.clock,
            backend,
            device,
            events: Bus::default(),
            reclaimers: Reclaimers::default(),
            tickets: unmodelled::Mutex::default(),
            tickets_gone: unmodelled::AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            finishes_each,
            claimed: AtomicBool::new(exclusive.is_none()),
            owners: unmodelled::AtomicU64::new(0),
            unrecognised_mode: Mutex::new(unrecognised),
            environment,
            quiet,
            figures,
            built_at,
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

    /// The backend, for its counters and limits beside the wired one.
    ///
    /// **Not for the wired limit**: a call of [`set_wired_limit`](Backend::set_wired_limit) is a foreign change to the
    /// manager, which sets what it needs at its next call.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.inner().backend
    }

    /// The process's manager, on MLX where it is linked. Made on first use with [`Config::default`], unless
    /// [`init_shared`](Self::init_shared) came first.
    ///
    /// If another manager owns MLX's limit, acquiring from this one is [`Error::BackendInUse`]
    /// until that one is gone. In a forked child it is [`Error::Forked`], as from any other.
    #[must_use]
    #[track_caller]
    pub fn shared() -> &'static Self {
        if fork::is_child() {
            return Self::of_child();
        }
        // Before it is made: a child would wait for ever for a thread that was making it.
        holders::watch_forks();
        let caller = Location::caller();
        SHARED.get_or_init(|| {
            let manager = Self::shared_builder(Config::default())
                .build_unclaimed(caller)
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
        let own = Self::builder().backend(NoMlx::new());
        let own = own.build_unclaimed(Location::caller());
        let own: &'static Self = Box::leak(Box::new(own.expect("the default settings are valid")));
        OWN.store(Some(own));
        own
    }

    /// Makes the process's manager with these settings.
    ///
    /// # Errors
    ///
    /// [`Error::SharedExists`] if it exists already; else as [`ManagerBuilder::build`].
    #[track_caller]
    pub fn init_shared(config: Config) -> Result<&'static Self, Error> {
        fork::check()?;
        let manager = Self::shared_builder(config).build_unclaimed(Location::caller())?;
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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::ffi::RecordingBackend;
    use crate::{Error, Manager, SumPolicy};
    use std::panic::Location;

    #[test]
    fn a_manager_that_owns_nothing_lets_nobody_in() -> Result<(), Error> {
        let builder = || {
            let backend = RecordingBackend::metal().exclusive("taken by the first");
            Manager::builder().backend(backend.build())
        };
        let (owner, line) = (builder().build()?, line!());
        // As the shared one is made.
        let other = builder().build_unclaimed(Location::caller())?;
        let ticket = other.ticket(&SumPolicy::uncapped(), 1);
        let in_use = || ticket.acquire().err();
        let is_told = || {
            in_use().is_some_and(|error| match error {
                Error::BackendInUse { resource, built_at } => {
                    resource == "taken by the first"
                        && (built_at.file(), built_at.line()) == (file!(), line)
                }
                _ => false,
            })
        };
        other.maintain();
        assert!(is_told(), "{:?}", in_use());
        other.poke()?;
        assert!(is_told(), "{:?}", in_use());
        drop(owner);
        drop(ticket.acquire()?);
        Ok(())
    }
}
