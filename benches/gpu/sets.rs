//! Two sets of jobs that do not fit the card together, run without tickets by every number of workers, and with tickets; and by
//! the most workers under a run's memory limit alone, and with tickets.

use crate::child;
use crate::failure::Failure;
use crate::outcome::{self, Outcome};
use crate::report::Report;
use crate::task::{Bound, Said, Sized, Task, Turn, Wanted};

/// The most workers that are tried by hand.
const BY_HAND: usize = 12;
/// With tickets, for every set: on an H200 more gained nothing by hand in `even`. Bytes bound them further.
const WITH_TICKETS: usize = 7;
/// How many turns with tickets, and with the best number by hand, are compared by their medians: single turns differ.
const TURNS: usize = 5;

/// Jobs that are compared in every way.
pub(crate) struct Set {
    pub(crate) name: &'static str,
    /// What each job takes, as a part of the card.
    parts: Vec<f64>,
}

/// Each 2.1 times the card. Of `mixed` four are large, of which three fit together, by hand and by their tickets. They come
/// first, so that none is left over at the end.
pub(crate) fn all() -> [Set; 2] {
    let mixed = [vec![0.3; 4], vec![0.06; 11], vec![0.02; 12]].concat();
    [
        Set {
            name: "even",
            parts: vec![2.1 / 19.0; 19],
        },
        Set {
            name: "mixed",
            parts: mixed,
        },
    ]
}

impl Set {
    fn row(&self, rest: &str) -> String {
        format!("sets/{}/{rest}", self.name)
    }

    /// Its jobs, with what each needs as it was measured alone.
    fn jobs(&self, card: u64, quick: bool) -> Result<Vec<Sized>, Failure> {
        let steps = if quick { 4 } else { 14 };
        let wanted = |part: &f64| Wanted {
            bytes: (part * card as f64) as u64,
            steps,
        };
        let wanted: Vec<Wanted> = self.parts.iter().map(wanted).collect();
        let mut kinds = wanted.clone();
        kinds.sort_by_key(|kind| kind.bytes);
        kinds.dedup();
        let Said::Measured(sized) = child::answer(&Task::Measure(kinds.clone()))? else {
            return Err("the jobs could not be measured alone".into());
        };
        let size = |wanted: &Wanted| kinds.iter().zip(&sized).find(|(kind, _)| *kind == wanted);
        let jobs: Option<Vec<Sized>> = wanted
            .iter()
            .map(|wanted| size(wanted).map(|(_, sized)| *sized))
            .collect();
        jobs.ok_or_else(|| "a job was not measured".into())
    }

    pub(crate) fn measure(
        &self,
        report: &mut Report,
        card: u64,
        quick: bool,
    ) -> Result<(), Failure> {
        report.info(self.row("jobs"), self.parts.len() as f64, None);
        let mut turns = Turns {
            set: self,
            jobs: None,
            card,
            quick,
            report,
        };
        turns.compare()?;
        turns.take_most_workers()
    }
}

/// A set's turns. One is taken where its row, up to the number of workers or of the turn, is asked for.
struct Turns<'a> {
    set: &'a Set,
    /// Once they were measured.
    jobs: Option<Vec<Sized>>,
    card: u64,
    quick: bool,
    report: &'a mut Report,
}

impl Turns<'_> {
    /// None if its rows are not asked for.
    fn take(
        &mut self,
        row: &str,
        workers: usize,
        bound: Bound,
    ) -> Result<Option<Outcome>, Failure> {
        let row = self.set.row(row);
        if !self.report.wants(&row) {
            return Ok(None);
        }
        let jobs = match &mut self.jobs {
            Some(jobs) => jobs,
            none => none.insert(self.set.jobs(self.card, self.quick)?),
        };
        let turn = Turn {
            jobs: jobs.clone(),
            workers,
            bound,
        };
        let outcome = Outcome::of(child::ask(&Task::Turn(turn))?);
        outcome.tell(self.report, &row, self.card);
        Ok(Some(outcome))
    }

    /// The best number of workers by hand, beside tickets.
    fn compare(&mut self) -> Result<(), Failure> {
        let jobs = self.set.parts.len();
        let by_hand: Vec<usize> = if self.quick {
            vec![1, 4, BY_HAND]
        } else {
            (1..=BY_HAND).collect()
        };
        let mut best: Option<(usize, f64)> = None;
        for workers in by_hand {
            let outcome = self.take(
                &format!("without-tickets/{workers}"),
                workers,
                Bound::ByHand,
            )?;
            let whole = outcome.filter(|it| it.is_whole(jobs));
            if let Some(a_minute) = whole.and_then(|it| it.a_minute())
                && best.is_none_or(|(_, best)| a_minute > best)
            {
                best = Some((workers, a_minute));
            }
        }
        if let Some((workers, _)) = best {
            let row = self.set.row("best-by-hand/workers");
            self.report.info(row, workers as f64, None);
        }
        let (mut best_by_hand, mut with_tickets) = (Vec::new(), Vec::new());
        // Anew, since the turn that made it the best may have been a lucky one; and in turn, since a machine changes.
        for number in 1..=if self.quick { 1 } else { TURNS } {
            if let Some((workers, _)) = best {
                let row = format!("best-by-hand/{number}");
                best_by_hand.extend(self.take(&row, workers, Bound::ByHand)?);
            }
            let row = format!("tickets/{number}");
            with_tickets.extend(self.take(&row, WITH_TICKETS, Bound::Tickets)?);
        }
        let row = |rest: &str| self.set.row(rest);
        self.report
            .info(row("tickets/workers"), WITH_TICKETS as f64, None);
        outcome::judge(self.report, row, jobs, &best_by_hand, &with_tickets);
        Ok(())
    }

    /// The most workers, with which by hand no job ended on an H200: under a run's memory limit alone, and with tickets.
    fn take_most_workers(&mut self) -> Result<(), Failure> {
        self.take("most-workers/run", BY_HAND, Bound::Run)?;
        let name = "most-workers/tickets";
        if let Some(outcome) = self.take(name, BY_HAND, Bound::Tickets)? {
            let jobs = self.set.parts.len();
            outcome::judge_ends(self.report, &self.set.row(name), jobs, &[outcome]);
        }
        Ok(())
    }
}
