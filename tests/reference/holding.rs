//! Acquires, resizes and releases of a script.

use crate::actors::{Command, Reply};
use crate::play::Play;
use crate::policies::{self, GATED_CAP, Rule};
use crate::script::TicketOf;
use crate::words::{Live, Patience, Request};
use mlx_wired::Kind;
use std::time::Duration;

impl Play<'_> {
    /// Leaves out what is nobody's promise and may go either way: which of two threads comes first whose deadlines are
    /// the same; and, with custom policies, whether who is admitted goes on while a policy is still asked about others.
    /// Then it may look for itself, which is one more try of a call that fails, or one call for each of several.
    fn settled(&self, patience: Patience, request: &Request) -> Patience {
        let mut waiting = self.model.waiters().map(|waiter| &waiter.request);
        let one_at_a_time = |request: &Request| {
            request.live.rule == Rule::Gated && request.live.bytes > GATED_CAP / 2
        };
        let all = waiting.clone().chain([request]);
        let custom = all.clone().any(|request| request.live.rule.is_custom());
        let crowd = custom && waiting.next().is_some() && !all.into_iter().all(one_at_a_time);
        let tickets = &self.script.tickets;
        let customs = tickets
            .iter()
            .any(|of| policies::rule(of.entry).is_custom());
        match patience {
            _ if crowd || (self.faulty && customs) => Patience::Try,
            Patience::For(timeout) if timeout > Duration::ZERO => {
                Patience::For(timeout + Duration::from_nanos(self.next_guard))
            }
            other => other,
        }
    }

    pub(crate) fn acquire(
        &mut self,
        actor: usize,
        ticket: usize,
        (patience, for_holds): (Patience, bool),
        owned: bool,
    ) {
        if self.model.is_waiting(actor) {
            return;
        }
        let guard = self.next_guard;
        self.next_guard += 1;
        let TicketOf {
            entry,
            bytes,
            kind,
            room,
            evictable,
        } = self.script.tickets[ticket];
        let live = Live {
            group: policies::group(entry),
            rule: policies::rule(entry),
            most: policies::most(entry),
            bytes,
            kind,
            actor,
            owned,
            room: if kind == Kind::Active { 0 } else { room },
            evictable,
            leaked: false,
        };
        let mut request = Request {
            guard,
            actor,
            live,
            grows: false,
            for_holds,
        };
        let mut patience = self.settled(patience, &request);
        request.for_holds &= patience != Patience::Try;
        self.actors[actor].tell(Command::Acquire {
            guard,
            ticket: self.tickets[ticket],
            patience,
            for_holds: request.for_holds,
            token: self.tokens[actor].clone(),
            owned,
        });
        if owned && patience == Patience::Try {
            // There is no such call for owned guards.
            patience = Patience::For(Duration::ZERO);
        }
        self.model.enter(request, patience);
        self.resizes[actor] = false;
        self.await_replies(Some(actor));
    }

    pub(crate) fn resize(
        &mut self,
        actor: usize,
        guard: u64,
        bytes: u64,
        (patience, for_holds): (Patience, bool),
    ) {
        self.next_guard += 1;
        let live = Live {
            bytes,
            ..self.model.live[&guard].clone()
        };
        let held = self.model.live[&guard].bytes;
        let mut request = Request {
            guard,
            actor,
            live,
            grows: bytes > held,
            for_holds,
        };
        let patience = self.settled(patience, &request);
        request.for_holds &= patience != Patience::Try;
        self.actors[actor].tell(Command::Resize {
            guard,
            bytes,
            patience,
            for_holds: request.for_holds,
            token: self.tokens[actor].clone(),
        });
        if bytes == held {
            let Reply::Guard(Ok(_)) = self.actors[actor].reply() else {
                panic!("nothing was asked for");
            };
            return;
        }
        if bytes > held {
            self.model.enter(request, patience);
        } else {
            self.model.shrink(request);
        }
        self.resizes[actor] = true;
        self.await_replies(Some(actor));
    }

    pub(crate) fn release(&mut self, actor: usize, guard: u64, tells: bool) {
        self.actors[actor].tell(Command::Release { guard, tells });
        let (before, calls) = (self.model.in_force(), self.model.setter.calls.len());
        self.model.release(guard);
        let Reply::Released(released) = self.actors[actor].reply() else {
            panic!("another reply");
        };
        let alone = self.model.done.is_empty();
        self.await_replies(None);
        // With others going on at once it may tell of their calls.
        if let Some(released) = released.filter(|_| alone) {
            self.compare_released(&released, before, calls);
        }
    }
}
