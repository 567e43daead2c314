//! R37: what errors say. `{}` is one line of at most 160 bytes, `{:#}` is everything, and methods tell what to answer.

use crate::kit::{Custom, GIB, Pending, Rig, SECOND, quiet};
use mlx_wired::ffi::{
    Backend, BackendError, Device, DeviceKind, MemoryCounters, RecordingBackend, Support,
};
use mlx_wired::{
    CancelToken, Config, Error, GroupLimit, Manager, OwnedGuard, SumPolicy, Ticket, Wait,
};
use parking_lot::Mutex;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

/// Both forms, once the short one is found to be short.
#[track_caller]
fn forms(error: &Error) -> (String, String) {
    let (short, all) = (error.to_string(), format!("{error:#}"));
    assert!(short.len() <= 160, "{} bytes: {short}", short.len());
    assert!(!short.contains('\n') && !all.contains('\n'), "{all}");
    assert!(short.len() <= all.len(), "{short}\n{all}");
    (short, all)
}

#[track_caller]
fn failed<T>(result: Result<T, Error>) -> Error {
    result.err().expect("it is refused")
}

/// Six guards of 60 bytes together, held by no thread.
fn six_guards(rig: &Rig, policy: &SumPolicy) -> Result<Vec<OwnedGuard>, Error> {
    let sizes = [15, 13, 11, 9, 7, 5];
    let numbered = sizes.into_iter().enumerate();
    numbered
        .map(|(n, bytes)| {
            let ticket = rig.ticket(policy, bytes);
            ticket.label(format!("decode {n}")).acquire_owned()
        })
        .collect()
}

#[test]
fn r37_a_timeout_is_short_and_names_everybody_when_asked() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(60);
    let guards = six_guards(&rig, &policy)?;
    let ahead = rig.ticket(&policy, 60).label("ahead");
    let ahead = rig.queued(&ahead);
    let prefill = rig.ticket(&policy, 20).label("prefill");
    let waiting = rig.queued_with(&prefill, Wait::new().timeout(SECOND));
    rig.clock.advance(SECOND);
    let (short, all) = forms(&failed(waiting.result()));
    assert_eq!(
        short,
        "20 B not admitted after 1.0s: 60 B of the 60 B its policy allows in use; wait longer, release guards or \
         raise the cap"
    );
    for told in [
        "decode 0",
        "decode 4",
        "60 B",
        "1 more waiting",
        "ahead at ",
    ] {
        assert!(all.contains(told), "{told}: {all}");
    }
    assert!(all.contains(" and 1 more; waiting: "), "{all}");
    drop(guards);
    drop(ahead.result()?);
    rig.finish()
}

#[test]
fn r37_a_demand_that_never_fits_is_refused_shortly() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(60);
    let guards = six_guards(&rig, &policy)?;
    let (short, all) = forms(&failed(rig.ticket(&policy, 61).acquire()));
    let expected =
        "61 B never fits into the 60 B its policy allows; split the work or raise the cap";
    assert_eq!(short, expected);
    assert!(
        all.starts_with(expected) && all.contains("decode 0"),
        "{all}"
    );
    drop(guards);
    rig.finish()
}

#[test]
fn r37_a_circle_is_told_of_shortly() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let outer = rig.ticket(&policy, 60).label("outer step");
    let guard = outer.acquire()?;
    let line = line!() - 1;
    let (short, all) = forms(&failed(rig.ticket(&policy, 50).acquire()));
    assert_eq!(
        short,
        "waiting for 50 B never ends: this thread holds what it waits for; acquire before the work is split, or \
         spawn it and block on a channel"
    );
    let place = format!("60 B acquired at {}:{line}:", file!());
    assert!(all.contains("outer step") && all.contains(&place), "{all}");
    drop(guard);
    rig.finish()
}

/// MLX, which refuses with a message as long as its real ones, of two lines.
#[derive(Debug)]
struct Refusing;

const MESSAGE: &str = "[metal::set_wired_limit] Setting a wired limit larger than the maximum working set size is \
                       not allowed.\nThe device recommends less than what was asked for.";

impl Backend for Refusing {
    fn device(&self) -> Device {
        let mut device = Device::new(DeviceKind::Metal, Support::Supported);
        device.max_recommended_working_set_size = Some(48 * GIB);
        device.memory_size = Some(64 * GIB);
        device.budget = Some(48 * GIB);
        device
    }

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        let error = BackendError::new(format!("mlx_set_wired_limit({bytes})"));
        Err(error.with_code(1).with_message(MESSAGE))
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        Ok(MemoryCounters::default())
    }
}

#[test]
fn r37_of_a_failed_setter_the_whole_message_is_told_when_asked() -> Result<(), Error> {
    let builder = Manager::builder().backend(Refusing);
    let manager = builder.config(quiet()).build()?;
    let error = failed(manager.ticket(&SumPolicy::new(), GIB).acquire());
    let (short, all) = forms(&error);
    assert_eq!(
        short,
        "the wired limit could not be set to 1 GiB; the demand was withdrawn: try again or ask for less"
    );
    let call = "mlx_set_wired_limit(1073741824) failed with code 1: ";
    let message = MESSAGE.replace('\n', "\\n");
    assert!(all.contains(call) && all.contains(&message), "{all}");
    let source = error.source().expect("the failed call");
    assert!(source.to_string().contains(&message), "{source}");
    Ok(())
}

const LONG: &str = "the table of what each tenant may hold could not be read: its file is there and has no permissions \
                    for this user, so that nobody can be let in before somebody has changed them";

#[test]
fn r37_of_a_panicking_policy_the_whole_message_is_told_when_asked() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::new().admits(|_, _, _| panic!("{LONG}"));
    let (short, all) = forms(&failed(rig.ticket(&policy, 1).acquire()));
    assert!(
        short.starts_with("policy Custom panicked: the table of"),
        "{short}"
    );
    assert!(
        short.ends_with("…; the demand was withdrawn, the policy must be mended"),
        "{short}"
    );
    assert!(all.contains(LONG), "{all}");
    rig.finish()
}

#[test]
fn r37_of_a_failed_hook_the_whole_reason_is_told_when_asked() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::new(), GIB);
    let mut guard = ticket.acquire()?;
    guard.before_release(|| Err(LONG.into()));
    let error = guard.release().error.expect("the hook fails");
    let (short, all) = forms(&error);
    assert!(
        short.starts_with("before the release: the table of"),
        "{short}"
    );
    assert!(
        short.ends_with("…; the guard was released all the same"),
        "{short}"
    );
    assert!(all.contains(LONG), "{all}");
    rig.finish()
}

/// The errors of the other kinds that a program can meet without MLX.
fn others() -> Result<Vec<Error>, Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(60);
    let full = six_guards(&rig, &policy)?;
    let small = rig.ticket(&policy, 10);
    let token = CancelToken::new();
    token.cancel();
    let mut errors = vec![
        failed(small.try_acquire()),
        failed(small.acquire_with(Wait::new().cancel(&token))),
        failed(rig.manager.configure(|config| config.margin(2.0))),
        failed(rig.manager.configure(|config| config.baseline_override(1))),
    ];
    let waiting = rig.queued(&small);
    rig.manager.close();
    errors.extend([failed(waiting.result()), failed(small.acquire())]);
    drop(full);

    let rig = Rig::new(quiet())?;
    let huge = rig.ticket(&SumPolicy::uncapped(), 1 << 50);
    errors.push(failed(huge.acquire()));
    let inner: Arc<Mutex<Option<Ticket>>> = Arc::default();
    let (asked, kept) = (inner.clone(), Arc::new(Mutex::new(None)));
    let keeps = kept.clone();
    let nesting = Custom::new().admits(move |_, _, _| {
        if let Some(inner) = asked.lock().take() {
            *keeps.lock() = inner.acquire().err();
        }
        true
    });
    let nested = rig.ticket(&nesting, 1);
    *inner.lock() = Some(nested.clone());
    drop(nested.acquire()?);
    errors.extend(kept.lock().take());

    let owned = || RecordingBackend::metal().exclusive("the limit of r37");
    let build = |backend| Manager::builder().backend(backend).build();
    let _owner = build(owned().build())?;
    errors.push(failed(build(owned().build())));
    let _shared = Manager::shared();
    errors.push(failed(Manager::init_shared(Config::default())));
    Ok(errors)
}

#[test]
fn r37_every_other_error_is_short_too() -> Result<(), Error> {
    let errors = others()?;
    let mut kinds: Vec<_> = errors.iter().map(std::mem::discriminant).collect();
    kinds.dedup();
    assert_eq!(kinds.len(), 9, "{errors:#?}");
    for error in &errors {
        forms(error);
    }
    Ok(())
}

/// What a server answers, as the documentation of the errors says.
fn status(error: &Error) -> u16 {
    match error {
        error if error.is_never() => 413,
        error if error.is_cancelled() => 499,
        error if error.is_timeout() => 504,
        error if error.is_retryable() => 503,
        _ => 500,
    }
}

#[test]
fn r37_the_methods_tell_what_a_server_answers() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(60);
    let full = rig.ticket(&policy, 60).acquire_owned()?;
    let (some, more) = (rig.ticket(&policy, 1), rig.ticket(&policy, 61));
    let token = CancelToken::new();
    token.cancel();
    let cancelled = Wait::new().cancel(&token);
    let huge = rig.ticket(&SumPolicy::uncapped(), 1 << 50);
    let answers = [
        (failed(some.try_acquire()), 503),
        (failed(some.admit_timeout(Duration::ZERO)), 504),
        (failed(some.acquire_with(cancelled)), 499),
        (failed(more.acquire()), 413),
        (failed(huge.acquire()), 413),
    ];
    for (error, answer) in &answers {
        assert_eq!(status(error), *answer, "{error}");
    }
    assert!(answers[1].0.is_retryable(), "a timeout, too");
    drop(full);

    rig.backend.fail_next(1);
    let refused = failed(rig.ticket(&SumPolicy::uncapped(), 1).acquire());
    assert!(matches!(refused, Error::SetLimit { .. }), "{refused:?}");
    assert_eq!(status(&refused), 503);
    let guards = Error::GroupFull {
        what: GroupLimit::DrivingGuards,
        requested: 1,
        maximum: 1,
    };
    assert_eq!((guards.is_never(), status(&guards)), (false, 500));
    rig.manager.close();
    assert_eq!(status(&failed(some.acquire())), 500);
    Ok(())
}

#[test]
fn r15_a_refusal_at_once_is_told_as_such() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(10);
    let full = rig.ticket(&policy, 10).acquire_owned()?;
    let ticket = rig.ticket(&policy, 1);
    let late = failed(ticket.admit_timeout(Duration::ZERO)).to_string();
    assert!(late.starts_with("1 B not admitted at once: "), "{late}");
    let now = Pending::spawn(move || ticket.try_acquire().map(drop)).result();
    assert_eq!(
        failed(now).to_string(),
        "1 B not available now: 10 B of the 10 B its policy allows in use; wait with acquire, release guards or \
         raise the cap"
    );
    drop(full);
    rig.finish()
}
