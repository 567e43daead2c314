//! What came of a set's turns, and what is judged.

use crate::child::{End, Heard};
use crate::method::median;
use crate::report::Report;
use crate::task::{Said, Turned};

/// What came of a turn.
#[derive(Debug)]
pub(crate) struct Outcome {
    ended: usize,
    over: Result<Turned, NotOver>,
}

/// How a turn ended that was not told to be over, or ended badly after that.
#[derive(Debug)]
struct NotOver(End);

impl Outcome {
    pub(crate) fn of(heard: Heard) -> Self {
        let (mut ended, mut turned) = (0, None);
        for said in heard.said {
            match said {
                Said::Ended => ended += 1,
                Said::Turned(over) => turned = Some(over),
                _ => {}
            }
        }
        let over = turned.filter(|_| heard.end == End::Well);
        Self {
            ended,
            over: over.ok_or(NotOver(heard.end)),
        }
    }

    /// Whether all jobs ended well, and the turn did.
    pub(crate) fn is_whole(&self, jobs: usize) -> bool {
        self.ended == jobs && self.over.is_ok()
    }

    pub(crate) fn a_minute(&self) -> Option<f64> {
        let over = self.over.as_ref().ok()?;
        Some(60.0 * self.ended as f64 / over.seconds)
    }

    pub(crate) fn tell(&self, report: &mut Report, row: &str, card: u64) {
        report.info(format!("{row}/ended"), self.ended as f64, None);
        let over = match &self.over {
            Ok(over) => over,
            Err(NotOver(end)) => {
                report.skip(format!("{row}/jobs-a-minute ({end})"), None);
                return;
            }
        };
        report.info(
            format!("{row}/jobs-a-minute"),
            self.a_minute().unwrap_or(0.0),
            None,
        );
        report.info(
            format!("{row}/peak-of-card"),
            over.peak as f64 / card as f64,
            None,
        );
        report.info(format!("{row}/workers-retired"), over.retired as f64, None);
    }
}

fn failed(turns: &[Outcome], jobs: usize) -> f64 {
    turns.iter().filter(|it| !it.is_whole(jobs)).count() as f64
}

/// Turns with tickets: all jobs are to end, and the turns well.
pub(crate) fn judge_ends(report: &mut Report, row: &str, jobs: usize, turns: &[Outcome]) {
    let not_ended: usize = turns.iter().map(|it| jobs - it.ended).sum();
    report.at_most(format!("{row}/not-ended"), not_ended as f64, 0.0, None);
    let failed = failed(turns, jobs);
    report.at_most(format!("{row}/failed-turns"), failed, 0.0, None);
}

/// The turns of the best number by hand, if one ended all jobs, beside those with tickets, if they are asked for. By hand only
/// the turns that ended all jobs count; with tickets all must.
pub(crate) fn judge(
    report: &mut Report,
    row: impl Fn(&str) -> String,
    jobs: usize,
    by_hand: &[Outcome],
    with_tickets: &[Outcome],
) {
    if with_tickets.is_empty() {
        return;
    }
    judge_ends(report, &row("tickets"), jobs, with_tickets);
    let rates = Vec::from_iter(with_tickets.iter().filter_map(Outcome::a_minute));
    let ours = (!rates.is_empty()).then(|| median(rates));
    if let Some(ours) = ours {
        report.info(row("tickets/jobs-a-minute"), ours, None);
    }
    if by_hand.is_empty() {
        report.skip(row("best-by-hand-to-tickets (nothing by hand)"), None);
        return;
    }
    report.info(
        row("best-by-hand/failed-turns"),
        failed(by_hand, jobs),
        None,
    );
    let whole = by_hand.iter().filter(|it| it.is_whole(jobs));
    let rates = Vec::from_iter(whole.filter_map(Outcome::a_minute));
    if rates.is_empty() {
        report.skip(
            row("best-by-hand-to-tickets (by hand none ended again)"),
            None,
        );
        return;
    }
    let theirs = median(rates);
    report.info(row("best-by-hand/jobs-a-minute"), theirs, None);
    // Nothing to compare with is short of the bar.
    let ratio = ours.map_or(f64::INFINITY, |ours| theirs / ours);
    report.at_most(row("best-by-hand-to-tickets"), ratio, 1.0, None);
}
