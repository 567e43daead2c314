//! What a subscriber is told must add up to what happened.

use super::world::World;
use mlx_wired::{EventKind, Subscriber};

/// So many that nothing is lost between two checks.
const CAPACITY: usize = 1 << 14;

/// A subscriber that comes and goes while nothing moves, and what lived when it came.
#[derive(Default)]
pub(crate) struct Tally(Option<(Subscriber, u64)>);

impl Tally {
    /// R24: as many guards began and ended as the number of live ones has changed by. Called while nothing moves.
    #[track_caller]
    pub(crate) fn check(&mut self, world: &World) {
        let live = world.accounts.least(&world.accounts.began()).0;
        if let Some((subscriber, before)) = &mut self.0 {
            let (mut began, mut ended) = (0, 0);
            for event in subscriber.drain() {
                match event.kind {
                    EventKind::TicketStarted => began += 1,
                    EventKind::TicketEnded => ended += 1,
                    _ => {}
                }
            }
            let told = *before + began;
            let lost = subscriber.lost();
            assert_eq!(lost, 0, "the subscriber was slow");
            assert_eq!(told, live + ended, "R24: {began} began, {ended} ended");
            *before = live;
        }
        if fastrand::u8(..8) == 0 {
            self.0 = match self.0.take() {
                Some(_) => None,
                None => Some((world.manager.subscribe(CAPACITY), live)),
            };
        }
    }

    /// R24: the events of a subscriber that comes and goes at any time are in order.
    #[track_caller]
    pub(crate) fn check_order(subscriber: &Subscriber) {
        let mut last = None;
        for event in subscriber.drain() {
            assert!(last < Some(event.sequence), "{last:?}, then {event:?}");
            last = Some(event.sequence);
        }
    }
}
