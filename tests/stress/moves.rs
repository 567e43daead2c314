//! What each thread does in a turn of [`lockstep`](super::lockstep).

use super::accounts::Claim;
use super::forms::{KINDS, SIZES};
use super::lockstep::Hand;
use super::world::World;
use fastrand::Rng;

/// How long an acquire or a resize waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Without bounds.
    Block,
    Try,
    Shortly,
    /// Until another thread's move of this turn cancels it.
    Cancelled,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Move {
    Idle,
    /// With a ticket of this kind, from [`KINDS`]; an owned guard or not.
    Acquire(Claim, usize, How, bool),
    Release,
    /// Releases another thread's owned guard.
    ReleaseOf(usize),
    Resize(usize, How),
    Cancel(usize),
    Poke,
    Maintain,
    Snapshot,
    Holders,
    Overtaking,
    Subscribe,
    NewGroup,
    ChangeCaps,
    Close,
}

/// What is held once all releases of the turn are done and everybody who acquires has got it.
#[derive(Clone)]
struct Room {
    lines: Vec<u64>,
    all: u64,
}

/// What becomes of an acquire.
enum Chance {
    /// It is admitted, in whatever order the others are.
    Sure,
    /// It is not.
    None,
}

impl Room {
    fn take(&mut self, claim: Claim) {
        self.lines[claim.line] += claim.bytes();
        self.all += claim.bytes();
    }

    fn give(&mut self, claim: Claim) {
        self.lines[claim.line] -= claim.bytes();
        self.all -= claim.bytes();
    }

    /// What becomes of an acquire, if `kept` stays where it is. `None` if that hangs on the order.
    fn chance(&self, kept: &Self, world: &World, claim: Claim) -> Option<Chance> {
        let form = &world.lines[claim.line].form;
        let budget = world.plan.budget.unwrap_or(u64::MAX);
        let within = |most: u64, held: u64| claim.bytes() <= most.saturating_sub(held);
        let fits = |room: &Self, most: u64| {
            within(most, room.lines[claim.line]) && within(budget, room.all)
        };
        if fits(self, form.always()) {
            Some(Chance::Sure)
        } else if !fits(kept, form.most().unwrap_or(u64::MAX)) {
            Some(Chance::None)
        } else {
            None
        }
    }
}

/// One move for each thread.
pub(crate) fn draw(
    rng: &mut Rng,
    world: &World,
    hands: &[Option<Hand>],
    closes: bool,
) -> Vec<Move> {
    let mut moves: Vec<Option<Move>> = vec![None; hands.len()];
    let mut order: Vec<usize> = (0..hands.len()).collect();
    rng.shuffle(&mut order);
    let mut room = Room {
        lines: vec![0; world.lines.len()],
        all: 0,
    };
    for hand in hands.iter().flatten() {
        room.take(hand.claim);
    }
    if closes {
        moves[order[0]] = Some(Move::Close);
    }
    for &me in &order {
        if let (Some(hand), None) = (hands[me], moves[me]) {
            release(rng, &mut moves, &mut room, hands, (me, hand));
        }
    }
    let kept = room.clone();
    for &me in &order {
        if moves[me].is_none() {
            let next = match hands[me] {
                Some(hand) => grow(rng, world, &mut room, &kept, hand),
                None if rng.u8(..4) > 0 => acquire(rng, world, &mut room, &kept),
                None => other(rng),
            };
            moves[me] = Some(next);
        }
    }
    let mut moves: Vec<Move> = moves
        .into_iter()
        .map(|it| it.unwrap_or(Move::Idle))
        .collect();
    let idle = moves
        .iter()
        .position(|it| matches!(it, Move::Idle | Move::Poke | Move::Holders));
    if let Some(idle) = idle {
        cancel(rng, &mut moves, idle);
    }
    moves
}

/// A move of those who hold something that frees some of it, or none yet.
fn release(
    rng: &mut Rng,
    moves: &mut [Option<Move>],
    room: &mut Room,
    hands: &[Option<Hand>],
    (me, hand): (usize, Hand),
) {
    match rng.u8(..8) {
        0..4 => {
            let other = rng.usize(..hands.len());
            let is_free = moves[other].is_none() && hands[other].is_none();
            room.give(hand.claim);
            if hand.owned && is_free && other != me {
                moves[other] = Some(Move::ReleaseOf(me));
                moves[me] = Some(Move::Idle);
            } else {
                moves[me] = Some(Move::Release);
            }
        }
        4 if hand.claim.size > 0 => {
            let size = rng.usize(..hand.claim.size);
            room.give(hand.claim);
            room.take(Claim { size, ..hand.claim });
            moves[me] = Some(Move::Resize(size, how(rng)));
        }
        5 => moves[me] = Some(other(rng)),
        _ => {}
    }
}

fn grow(rng: &mut Rng, world: &World, room: &mut Room, kept: &Room, hand: Hand) -> Move {
    let from = hand.claim;
    if from.size + 1 == SIZES.len() {
        return other(rng);
    }
    let size = rng.usize(from.size + 1..SIZES.len());
    let to = Claim { size, ..from };
    let mut others = kept.clone();
    others.give(from);
    room.give(from);
    let chance = room.chance(&others, world, to);
    room.take(match chance {
        Some(Chance::Sure) => to,
        _ => from,
    });
    match bounded(rng, chance) {
        Some(how) => Move::Resize(size, how),
        None => other(rng),
    }
}

fn acquire(rng: &mut Rng, world: &World, room: &mut Room, kept: &Room) -> Move {
    let kind = rng.usize(world.plan.kinds());
    let claim = Claim {
        line: rng.usize(..world.lines.len()),
        size: rng.usize(..SIZES.len()),
        driving: KINDS[kind].is_driving(),
    };
    let chance = room.chance(kept, world, claim);
    if let Some(Chance::Sure) = chance {
        room.take(claim);
    }
    match bounded(rng, chance) {
        Some(how) => Move::Acquire(claim, kind, how, rng.u8(..4) == 0),
        None => other(rng),
    }
}

fn how(rng: &mut Rng) -> How {
    match rng.u8(..4) {
        0 => How::Try,
        1 => How::Shortly,
        _ => How::Block,
    }
}

/// A wait that ends.
fn bounded(rng: &mut Rng, chance: Option<Chance>) -> Option<How> {
    match (chance?, how(rng)) {
        (Chance::None, How::Block) => Some(How::Shortly),
        (_, how) => Some(how),
    }
}

/// What those do who neither acquire nor release.
fn other(rng: &mut Rng) -> Move {
    match rng.u8(..12) {
        0 => Move::Poke,
        1 => Move::Maintain,
        2 | 3 => Move::Snapshot,
        4 => Move::Holders,
        5 => Move::Overtaking,
        6 => Move::Subscribe,
        7 => Move::NewGroup,
        8 => Move::ChangeCaps,
        _ => Move::Idle,
    }
}

/// Lets `idle` cancel one of the waits with a deadline, which has none then.
fn cancel(rng: &mut Rng, moves: &mut [Move], idle: usize) {
    let waits = |it: &Move| {
        matches!(
            it,
            Move::Acquire(_, _, How::Shortly, _) | Move::Resize(_, How::Shortly)
        )
    };
    let waiting: Vec<usize> = (0..moves.len()).filter(|at| waits(&moves[*at])).collect();
    if waiting.is_empty() || rng.bool() {
        return;
    }
    let at = waiting[rng.usize(..waiting.len())];
    match &mut moves[at] {
        Move::Acquire(_, _, how, _) | Move::Resize(_, how) => *how = How::Cancelled,
        _ => return,
    }
    moves[idle] = Move::Cancel(at);
}
