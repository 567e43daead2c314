//! Random scripts: a manager's settings, its tickets, and what is done with them.

use crate::elastic::Shares;
use crate::policies::{self, ALL, BUILT_IN};
use crate::words::{Mode, Patience, Settings};
use mlx_wired::Kind;
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt;
use std::time::Duration;

/// How many threads acquire.
pub(crate) const ACTORS: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) settings: Settings,
    /// What MLX's limit is before the first call.
    pub(crate) initial_limit: u64,
    /// Somebody subscribes to the events: then everything takes the lock.
    pub(crate) watched: bool,
    /// The setter fails now and then, and somebody else sets the limit.
    pub(crate) faults: bool,
    pub(crate) tickets: Vec<TicketOf>,
    pub(crate) operations: Vec<Operation>,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.settings)?;
        let (initial, watched) = (self.initial_limit, self.watched);
        writeln!(f, "initial limit: {initial}, watched: {watched}")?;
        for (number, ticket) in self.tickets.iter().enumerate() {
            let rule = policies::rule(ticket.entry);
            writeln!(
                f,
                "ticket {number}: {:?} {} of {rule:?}, at most {:?}, room {}, evictable: {}",
                ticket.kind,
                ticket.bytes,
                policies::most(ticket.entry),
                ticket.room,
                ticket.evictable
            )?;
        }
        for (number, operation) in self.operations.iter().enumerate() {
            writeln!(f, "step {number}: {operation:?}")?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct TicketOf {
    /// Of the policies' menu.
    pub(crate) entry: usize,
    pub(crate) bytes: u64,
    pub(crate) kind: Kind,
    pub(crate) room: u64,
    pub(crate) evictable: bool,
}

/// Indices count modulo what there is; what cannot be done is skipped.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Acquire {
        actor: usize,
        ticket: usize,
        patience: Patience,
        for_holds: bool,
        owned: bool,
    },
    Release {
        actor: usize,
        guard: usize,
        /// By `release()`, which tells what became of the limit.
        tells: bool,
    },
    Resize {
        actor: usize,
        guard: usize,
        bytes: u64,
        patience: Patience,
        for_holds: bool,
    },
    Forget {
        actor: usize,
        guard: usize,
    },
    Cancel(usize),
    Advance(Duration),
    Maintain,
    Poke,
    /// Of a level.
    Pressure(usize),
    Gate {
        open: bool,
        pokes: bool,
    },
    Extra(u64),
    Configure(Change),
    ForeignSet(u64),
    FailNext(usize),
    Failing(bool),
    Close,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Ratio(u64),
    Threshold(Option<u64>),
    Cooldown(Duration),
    Linger(Duration),
    Overtaking(u64),
    Elastic(Option<Shares>),
    Patience(Duration),
    Budget(Option<u64>),
    Override(Option<u64>),
    Margin(u64),
    Mode(Mode),
}

fn milliseconds(choices: &'static [u64]) -> impl Strategy<Value = Duration> {
    prop::sample::select(choices).prop_map(Duration::from_millis)
}

fn ratio() -> impl Strategy<Value = u64> {
    // Exact in binary.
    prop::sample::select(&[0, 25, 25, 50, 100][..])
}

fn cooldown() -> impl Strategy<Value = Duration> {
    milliseconds(&[0, 1000, 1000, 3000])
}

fn linger() -> impl Strategy<Value = Duration> {
    milliseconds(&[0, 0, 2000, 5000])
}

fn threshold() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 1 => (1..30_u64).prop_map(Some)]
}

fn baseline_override() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![4 => Just(None), 1 => (0..40_u64).prop_map(Some)]
}

fn overtaking() -> impl Strategy<Value = u64> {
    prop::sample::select(&[0, 0, 1, 2][..])
}

fn elastic() -> impl Strategy<Value = Option<Shares>> {
    // Exact in binary.
    prop_oneof![
        2 => Just(None),
        2 => Just(Some([4, 3, 2, 1])),
        1 => Just(Some([4, 4, 2, 0])),
    ]
}

fn pressure_patience() -> impl Strategy<Value = Duration> {
    milliseconds(&[0, 1000, 3000, 10_000, 10_000])
}

fn budget() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 1 => (40..120_u64).prop_map(Some)]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        12 => Just(Mode::Wired),
        1 => Just(Mode::Never),
        1 => Just(Mode::Unsupported),
        1 => Just(Mode::Off),
    ]
}

prop_compose! {
    fn settings()(
        mode in mode(),
        baseline_override in baseline_override(),
        margin in 0..2_u64,
        ratio in ratio(),
        threshold in threshold(),
        cooldown in cooldown(),
        linger in linger(),
        proceed in prop::bool::weighted(0.2),
        budget in budget(),
        overtaking in overtaking(),
        (elastic, patience) in (elastic(), pressure_patience()),
    ) -> Settings {
        Settings {
            mode, baseline_override, margin, ratio, threshold, cooldown, linger, proceed, budget, overtaking,
            elastic, patience,
        }
    }
}

fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => 0..40_u64,
        10 => 0..80_u64,
        2 => 0..110_u64,
        // More than the fast path adds before it looks, more than a group counts, more than a policy can add up.
        1 => prop::sample::select(&[1_u64 << 43, 1 << 44, u64::MAX][..]),
    ]
}

prop_compose! {
    fn ticket(entries: &'static [usize])(
        entry in prop::sample::select(entries),
        bytes in bytes(),
        kind in prop::sample::select(&[Kind::Active, Kind::Active, Kind::Reservation, Kind::Resident][..]),
        room in prop_oneof![2 => Just(0), 1 => 0..40_u64],
        evictable in any::<bool>(),
    ) -> TicketOf {
        TicketOf { entry, bytes, kind, room, evictable }
    }
}

fn patience() -> impl Strategy<Value = Patience> {
    prop_oneof![
        3 => Just(Patience::Try),
        2 => milliseconds(&[0, 500, 2000]).prop_map(Patience::For),
        1 => Just(Patience::UntilCancelled),
        4 => Just(Patience::Endless),
    ]
}

fn for_holds() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.2)
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        ratio().prop_map(Change::Ratio),
        threshold().prop_map(Change::Threshold),
        cooldown().prop_map(Change::Cooldown),
        linger().prop_map(Change::Linger),
        overtaking().prop_map(Change::Overtaking),
        elastic().prop_map(Change::Elastic),
        pressure_patience().prop_map(Change::Patience),
        budget().prop_map(Change::Budget),
        baseline_override().prop_map(Change::Override),
        (0..2_u64).prop_map(Change::Margin),
        // The device stays what it is.
        prop::sample::select(&[Mode::Wired, Mode::Never, Mode::Off][..]).prop_map(Change::Mode),
    ]
}

fn acquire() -> impl Strategy<Value = Operation> {
    let parts = (
        0..ACTORS,
        0..32_usize,
        patience(),
        for_holds(),
        any::<bool>(),
    );
    parts.prop_map(
        |(actor, ticket, patience, for_holds, owned)| Operation::Acquire {
            actor,
            ticket,
            patience,
            for_holds,
            owned,
        },
    )
}

fn release() -> impl Strategy<Value = Operation> {
    let parts = (0..ACTORS, 0..32_usize, any::<bool>());
    parts.prop_map(|(actor, guard, tells)| Operation::Release {
        actor,
        guard,
        tells,
    })
}

fn resize() -> impl Strategy<Value = Operation> {
    let parts = (0..ACTORS, 0..32_usize, bytes(), patience(), for_holds());
    parts.prop_map(
        |(actor, guard, bytes, patience, for_holds)| Operation::Resize {
            actor,
            guard,
            bytes,
            patience,
            for_holds,
        },
    )
}

fn usual() -> impl Strategy<Value = Operation> {
    let gate = (any::<bool>(), any::<bool>());
    let forget = (0..ACTORS, 0..32_usize);
    prop_oneof![
        120 => acquire(),
        100 => release(),
        30 => resize(),
        4 => forget.prop_map(|(actor, guard)| Operation::Forget { actor, guard }),
        15 => (0..ACTORS).prop_map(Operation::Cancel),
        40 => milliseconds(&[1, 250, 500, 1000, 1500, 9000, 30_000]).prop_map(Operation::Advance),
        8 => Just(Operation::Maintain),
        8 => Just(Operation::Poke),
        16 => prop::sample::select(&[0_usize, 0, 1, 2, 3, 3][..]).prop_map(Operation::Pressure),
        8 => gate.prop_map(|(open, pokes)| Operation::Gate { open, pokes }),
        8 => (0..40_u64).prop_map(Operation::Extra),
        20 => change().prop_map(Operation::Configure),
        1 => Just(Operation::Close),
    ]
}

fn fault() -> impl Strategy<Value = Operation> {
    prop_oneof![
        2 => (0..=100_u64).prop_map(Operation::ForeignSet),
        3 => (1..4_usize).prop_map(Operation::FailNext),
        2 => any::<bool>().prop_map(Operation::Failing),
    ]
}

fn operation(faults: bool) -> BoxedStrategy<Operation> {
    if faults {
        prop_oneof![12 => usual(), 1 => fault()].boxed()
    } else {
        usual().boxed()
    }
}

/// A script of at most `length` operations, with a setter that fails and others who set the limit, or without.
pub(crate) fn script(length: usize, faults: bool) -> impl Strategy<Value = Script> {
    let parts = (
        settings(),
        prop_oneof![2 => Just(0), 1 => 0..=100_u64],
        prop::bool::weighted(0.2),
        prop_oneof![vec(ticket(ALL), 1..8), vec(ticket(BUILT_IN), 1..8)],
        vec(operation(faults), 0..length),
    );
    parts.prop_map(
        move |(settings, initial_limit, watched, tickets, operations)| {
            // An override above the ceiling is refused; that is a test of its own.
            Script {
                settings,
                initial_limit,
                watched,
                faults,
                tickets,
                operations,
            }
        },
    )
}
