//! Transitions that need no session: what the last one published still stands.

use super::Inner;
use super::core::Locked;
use crate::ticket::Ticket;

impl Inner {
    /// Asks the ticket's custom policy for its group's limit, if the group has changed and no session would do so.
    pub(super) fn ask_again(&self, core: &mut Locked<'_>, ticket: &Ticket) {
        if ticket.group().custom && !core.busy && core.standing.is_some() {
            self.ask_policy(core, ticket.group().index);
            self.revisit(core);
        }
    }

    /// Whether a release from the ticket's group changes nothing for others: no end and no shrink is due, and
    /// nothing is owed. Then what tells releases when to look (invariant I6) needs no renewal.
    pub(super) fn still_stands(&self, core: &mut Locked<'_>, ticket: &Ticket) -> bool {
        self.ask_again(core, ticket);
        let Some(published) = core.standing else {
            return false;
        };
        let index = ticket.group().index;
        let state = core.group(index);
        let word = state.shared.load();
        let baseline = core.epoch.baseline;
        let is_anchored = match published.anchor {
            Some(anchor) => anchor != index || word.driving() > 0,
            None => false,
        };
        let is_held = published.holder != Some(index)
            || (state.is_live(word)
                && published
                    .shrink_to
                    .is_some_and(|to| state.limit(word, baseline) > to));
        is_anchored && is_held && !state.must_ask(baseline) && core.owed.due().is_none()
    }
}
