//! What a ticket is made of, and how another is made of it.

use super::info::{GroupOf, Info};
use super::route::Route;
use crate::arbiter::Arbiter;
use crate::holders::{self, About, Record};
use crate::kind::Kind;
use crate::manager::inner::Inner;
use crate::manager::inner::owner::Owner;
use crate::manager::state::group::{Group, SizeCount};
use crate::manager::state::request::Request;
use crate::sync::Arc;
use std::fmt;
use std::panic::Location;

/// A demand for memory: so many bytes, under a policy, of a kind.
///
/// A ticket holds nothing; it is acquired, as often as wanted and from any number of threads at once.
/// Cloning is cheap and gives the same ticket.
///
/// ```
/// use mlx_wired::{Manager, SumPolicy};
///
/// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
/// let policy = SumPolicy::capped(1 << 30);
/// let step = manager.ticket(&policy, 256 << 20).label("step");
/// {
///     let _guard = step.acquire()?;
///     // the work
/// }
/// # Ok::<(), mlx_wired::Error>(())
/// ```
#[derive(Clone)]
pub struct Ticket {
    // What the fast path reads stands here, one pointer nearer than the rest.
    pub(super) group: GroupOf,
    pub(super) size_count: Option<Arc<SizeCount>>,
    /// What one guard adds to the group's word.
    pub(super) demand: u64,
    pub(super) bytes: u64,
    /// How many active guards its policy [allows](crate::AtMost) at once; `u64::MAX` if it does not say.
    pub(super) most: u64,
    pub(super) route: Route,
    pub(super) kind: Kind,
    pub(super) id: u64,
    pub(super) info: Arc<Info>,
}

impl Ticket {
    pub(crate) fn new(manager: &Arc<Inner>, policy: Arc<dyn Arbiter>, bytes: u64) -> Self {
        let formula = policy.formula();
        let policy_label: Arc<str> = policy.label().into();
        let (group, size_count) = manager.group_for(&policy, formula, &policy_label, bytes);
        let about = About {
            bytes,
            group: group.index,
            kind: Kind::Active,
            policy: policy_label,
            label: None,
            room: 0,
            evictable: false,
            origin: None,
            grown: false,
        };
        let request = Request::new(group, size_count, policy, formula, about);
        Self::of(Owner::new(manager), request)
    }

    /// The ticket of a request.
    pub(super) fn of(manager: Owner, request: Arc<Request>) -> Self {
        let (id, bytes, kind) = (request.id(), request.bytes(), request.kind());
        let (size_count, demand) = (request.size_count().cloned(), request.demand());
        let (most, route) = (request.most_of_any_kind(), Route::of(&request));
        let info = Info::new(manager, request);
        Self {
            group: GroupOf::new(&info),
            size_count,
            demand,
            bytes,
            most,
            route,
            kind,
            id,
            info,
        }
    }

    /// Changes what people are told of it. It is another ticket from then on: clones and forgotten guards are still what
    /// they were, and so are events that no subscriber has been handed yet.
    pub(super) fn describe(&mut self, change: impl FnOnce(&mut About)) {
        let mut about = About::clone(self.info.request.about());
        change(&mut about);
        let request = self.info.request.with(about, self.size_count.clone());
        *self = Self::of(self.info.manager.clone(), request);
    }

    pub(super) fn of_kind(mut self, kind: Kind) -> Self {
        self.describe(|about| about.kind = kind);
        self
    }

    /// This ticket with another size, for a guard that is resized.
    pub(super) fn resized(&self, bytes: u64) -> Self {
        let (manager, request) = (&self.info.manager, &self.info.request);
        let size_count = request.size_count();
        let size_count = size_count.map(|_| manager.size_count(request.group(), bytes));
        let about = About {
            bytes,
            origin: Some(request.about().origin.unwrap_or(self.id)),
            grown: self.is_grown() || bytes > self.bytes,
            ..About::clone(request.about())
        };
        Self::of(manager.clone(), request.with(about, size_count))
    }

    /// Whether it is what a guard was grown to, or has had since.
    pub(super) fn is_grown(&self) -> bool {
        self.info.request.is_grown()
    }

    pub(super) fn manager(&self) -> &Arc<Inner> {
        &self.info.manager
    }

    /// What of it is judged, counted and told of.
    pub(super) fn request(&self) -> &Arc<Request> {
        &self.info.request
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        self.info.request.group()
    }

    /// Whether its demands are pinned.
    pub(super) fn is_pinned(&self) -> bool {
        self.kind != Kind::Active
    }

    /// Records a borrowed guard, in a slot or wherever there is room.
    pub(super) fn record(&self, location: &'static Location<'static>) -> Record {
        holders::record(
            self.id,
            self.info.request.about(),
            &self.group.listed,
            location,
        )
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("id", &self.id)
            .field("label", &self.info.request.about().label)
            .field("bytes", &self.bytes)
            .field("kind", &self.kind)
            .field("policy", &self.info.request.about().policy)
            .finish_non_exhaustive()
    }
}

static_assertions::assert_impl_all!(Ticket: Clone, Send, Sync);
