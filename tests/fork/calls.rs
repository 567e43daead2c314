//! Every public call, as a child finds it. None of them starts a thread (`threads.rs` says why).

use crate::kit::Custom;
use mlx_wired::ffi::NoMlx;
use mlx_wired::recorder::Recorder;
use mlx_wired::{
    CancelToken, Config, Error, Guard, Manager, MaxPolicy, OwnedGuard, Policy, Subscriber,
    SumPolicy, Ticket, Wait,
};
use std::time::{Duration, Instant};

/// What a parent had before it forked.
pub(crate) struct World {
    pub(crate) manager: Manager,
    /// Of which the parent holds a guard.
    pub(crate) ticket: Ticket,
    pub(crate) events: Subscriber,
    pub(crate) token: CancelToken,
}

impl World {
    pub(crate) fn new(manager: Manager) -> Self {
        Self {
            ticket: manager
                .ticket(&SumPolicy::capped(100), 10)
                .label("parent's"),
            events: manager.subscribe(10),
            token: CancelToken::new(),
            manager,
        }
    }

    /// All of it in turn. The parent's guards are `borrowed` and `owned`.
    pub(crate) fn find_nothing(&self, borrowed: Guard<'_>, owned: [OwnedGuard; 2]) {
        self.acquire_nothing(&self.ticket);
        self.acquire_nothing(&self.make_ticket());
        self.change_nothing();
        self.see_nothing();
        release_nothing(borrowed, owned);
    }

    fn make_ticket(&self) -> Ticket {
        let policies = (SumPolicy::new(), MaxPolicy::new());
        let _others = (
            self.manager.ticket(&policies.0, 1).reservation(),
            self.manager.ticket(&policies.1, 1).resident(),
        );
        let ticket = self.manager.ticket(&own(), 5).label("child's").resident();
        assert_eq!((ticket.bytes(), ticket.get_label()), (5, Some("child's")));
        ticket
    }

    fn acquire_nothing(&self, ticket: &Ticket) {
        let long = Duration::from_secs(3600);
        let until = Instant::now() + long;
        refused(ticket.acquire());
        refused(ticket.try_acquire());
        refused(ticket.admit_timeout(long));
        refused(ticket.admit_deadline(until));
        refused(ticket.acquire_with(Wait::new().cancel(&self.token)));
        refused(ticket.acquire_with(Wait::none()));
        refused(ticket.acquire_owned());
        refused(ticket.try_acquire_owned());
        refused(ticket.admit_timeout_owned(long));
        refused(ticket.admit_deadline_owned(until));
        refused(ticket.acquire_owned_with(Wait::none()));
        refused(ticket.with(|_| unreachable!("not admitted")));
        refused(self.manager.wire_max(1));
        refused(SumPolicy::capped(10).acquire(1));
        refused(SumPolicy::capped(10).ticket(1).acquire());
    }

    fn change_nothing(&self) {
        refused(Manager::builder().backend(NoMlx::new()).build());
        refused(Manager::init_shared(Config::default()));
        refused(self.manager.configure(|_| unreachable!("it is not asked")));
        refused(self.manager.set_pressure(0.5));
        refused(self.manager.poke());
        refused(self.manager.rewire());
        drop(
            self.manager
                .on_shortage(|_| unreachable!("no thread waits")),
        );
        self.manager.maintain();
        self.manager.close();
        self.token.cancel();
        assert!(self.token.is_cancelled());
    }

    fn see_nothing(&self) {
        let manager = self.manager.clone();
        let snapshot = manager.snapshot();
        assert!(snapshot.closed && snapshot.guards_add_up);
        assert_eq!((snapshot.live, snapshot.guards.len()), (0, 0));
        assert_eq!((snapshot.groups.len(), snapshot.waiters.len()), (0, 0));
        assert!(!snapshot.to_string().is_empty());
        assert_eq!((manager.waiting().len(), manager.holders().len()), (0, 0));
        assert_eq!(
            (manager.applied(), manager.stats()),
            (0, Default::default())
        );
        assert_eq!((manager.in_use(), manager.waiters()), (0, 0));
        assert_eq!((self.ticket.in_use(), self.ticket.waiters()), (0, 0));
        let policy = SumPolicy::capped(100);
        assert_eq!(
            (manager.in_use_by(&policy), manager.waiters_for(&policy)),
            (0, 0)
        );
        let _told = (self.ticket.available(), manager.available_to(&policy));
        let _told = (manager.ceiling(), manager.budget(), manager.mode());
        let _told = (manager.support(), manager.device(), manager.config());
        assert!(!format!("{manager:?} {:?}", self.ticket).is_empty());
        let own = manager.subscribe(10);
        for events in [&self.events, &own] {
            assert_eq!(events.try_recv(), None);
            assert_eq!(events.recv_timeout(Duration::from_secs(3600)), None);
            assert_eq!(events.drain().count(), 0);
            let _lost = events.lost();
        }
        let mut recorder = Recorder::new(&manager);
        recorder.poll();
        assert!(recorder.finish().events().is_empty());
        let recorder = Recorder::new(&manager);
        assert!(recorder.in_background(Duration::from_secs(1)).is_err());
        drop(manager);
    }
}

fn release_nothing(mut borrowed: Guard<'_>, [mut owned, other]: [OwnedGuard; 2]) {
    other.leak();
    refused(owned.resize(20));
    refused(owned.try_resize(1));
    refused(owned.resize_timeout(20, Duration::from_secs(3600)));
    refused(borrowed.resize_with(10, Wait::none()));
    let _told = (borrowed.wanted(), borrowed.applied(), borrowed.is_clamped());
    let _told = (borrowed.epoch(), borrowed.waited(), borrowed.bytes());
    assert!(!borrowed.is_wired());
    assert!(!format!("{borrowed:?} {owned:?}").is_empty());
    owned.before_release(|| unreachable!("it is the parent's"));
    let mut finished = false;
    let released = owned.release_after(|| finished = true);
    assert!(finished && !released.lowered);
    assert_eq!(released.error, Some(Error::Forked));
    assert_eq!(borrowed.release().error, Some(Error::Forked));
}

/// Of a manager that has no limit to lower, and so no thread.
pub(crate) fn ticket() -> Result<Ticket, Error> {
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    Ok(manager.ticket(&SumPolicy::uncapped(), 1))
}

/// What can fail does, at once.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T, Error>) {
    assert_eq!(result.err(), Some(Error::Forked));
}

/// A policy of the program's own, which nobody asks in a child.
fn own() -> Custom {
    Custom::new().admits(|_, _, _| unreachable!("it is not asked"))
}
