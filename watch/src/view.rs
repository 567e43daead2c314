//! What is seen: what is wrong first, then memory, then what is held and what waits.

use crate::line::{Guard, Line, Memory, Pool, Waiter};
use crate::options::Look;
use crate::print::{bytes, plain, seconds};
use crate::watching::Watching;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::text::{Line as Row, Span};
use ratatui::widgets::{Block, Borders, Paragraph};

/// How many problems are told.
const PROBLEMS: usize = 3;
/// Rows of the history.
const HISTORY: u16 = 3;

pub fn draw(frame: &mut Frame<'_>, watching: &Watching, look: Look) {
    let Some(line) = &watching.line else {
        let why = watching.failure.as_deref().unwrap_or("asking the program");
        frame.render_widget(Paragraph::new(plain(why)), frame.area());
        return;
    };
    let view = View { line, look };
    let problems = view.problems(watching.failure.as_deref(), frame.area().width.into());
    let rows = u16::try_from(problems.len()).unwrap_or(u16::MAX);
    // The pools have a row where there are any.
    let pools = u16::from(!line.pools.is_empty());
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(rows),
        Constraint::Length(4 + pools + HISTORY),
        Constraint::Fill(3),
        Constraint::Fill(2),
        Constraint::Length(1),
    ])
    .split(frame.area());
    frame.render_widget(Paragraph::new(view.title()), areas[0]);
    frame.render_widget(Paragraph::new(problems), areas[1]);
    view.memory(frame, areas[2], &watching.used);
    view.guards(frame, areas[3]);
    view.waiters(frame, areas[4]);
    frame.render_widget(Paragraph::new(view.foot()), areas[5]);
}

struct View<'a> {
    line: &'a Line,
    look: Look,
}

impl View<'_> {
    fn level(&self, level: &str) -> Style {
        let (color, plain) = match level {
            "normal" | "note" => (Color::Green, Modifier::empty()),
            "warning" => (Color::Yellow, Modifier::BOLD),
            "urgent" => (Color::LightRed, Modifier::BOLD),
            _ => (Color::Red, Modifier::BOLD.union(Modifier::REVERSED)),
        };
        let style = Style::new().add_modifier(plain);
        if self.look.color {
            style.fg(color)
        } else {
            style
        }
    }

    fn faint(&self) -> Style {
        if self.look.color {
            Style::new().fg(Color::DarkGray)
        } else {
            Style::new()
        }
    }

    fn block(&self, title: String) -> Block<'static> {
        const ASCII: border::Set<'static> = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        let set = if self.look.ascii {
            ASCII
        } else {
            border::PLAIN
        };
        Block::new()
            .borders(Borders::TOP)
            .border_set(set)
            .border_style(self.faint())
            .title(Span::styled(
                title,
                Style::new().add_modifier(Modifier::BOLD),
            ))
    }

    fn title(&self) -> Row<'static> {
        let line = self.line;
        let device = line.device.name.as_ref().unwrap_or(&line.device.kind);
        let mut title = format!(
            "  {}  pid {}  up {}  {}",
            plain(&line.program),
            line.pid,
            seconds(line.uptime_seconds),
            plain(device)
        );
        if let Some(mlx) = &line.mlx {
            title.push_str(&format!("  MLX {}", plain(mlx)));
        }
        let mut spans = vec![Span::styled(plain(&line.level), self.level(&line.level))];
        if line.pressure != "normal" {
            spans.push(Span::raw(", pressure "));
            spans.push(Span::styled(
                plain(&line.pressure),
                self.level(&line.pressure),
            ));
        }
        let bold = Style::new().add_modifier(Modifier::BOLD);
        spans.push(Span::styled(title, bold));
        Row::from(spans)
    }

    /// Each with its cure.
    fn problems(&self, failure: Option<&str>, width: usize) -> Vec<Row<'static>> {
        let arrow = if self.look.ascii { " -> " } else { "  → " };
        let mut rows = Vec::new();
        if let Some(failure) = failure {
            let text = format!("{}; the figures are the last that it told", plain(failure));
            rows.push(Row::from(Span::styled(text, self.level("error"))));
        }
        for problem in self.line.problems.iter().take(PROBLEMS) {
            let severity = plain(&problem.severity);
            let (style, indent) = (self.level(&problem.severity), severity.chars().count() + 2);
            let texts = wrapped(&plain(&problem.text), width.saturating_sub(indent));
            for (row, text) in texts.into_iter().enumerate() {
                let first = if row == 0 { severity.as_str() } else { "" };
                let gap = " ".repeat(indent - first.chars().count());
                rows.push(Row::from(vec![
                    Span::styled(first.to_owned(), style),
                    Span::raw(gap + &text),
                ]));
            }
            let cures = wrapped(&plain(&problem.cure), width.saturating_sub(4));
            for (row, cure) in cures.into_iter().enumerate() {
                let before = if row == 0 { arrow } else { "    " };
                rows.push(Row::from(format!("{before}{cure}")));
            }
        }
        let more = self.line.problems.len().saturating_sub(PROBLEMS);
        if more > 0 {
            rows.push(Row::from(format!("  and {more} more: see --once")));
        }
        if rows.is_empty() {
            rows.push(Row::from(Span::styled(
                "nothing is wrong",
                self.level("normal"),
            )));
        }
        rows
    }

    fn memory(&self, frame: &mut Frame<'_>, area: Rect, history: &[u64]) {
        let block = self.block(" memory ".to_owned());
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let Some(memory) = &self.line.memory else {
            frame.render_widget(Paragraph::new("MLX's counters cannot be read"), inner);
            return;
        };
        let mut rows = vec![self.bar(memory, inner.width)];
        rows.extend(self.figures(memory));
        rows.extend(self.pools());
        rows.extend(self.history(history, memory, inner.width));
        frame.render_widget(Paragraph::new(rows), inner);
    }

    fn bar(&self, memory: &Memory, width: u16) -> Row<'static> {
        let used = bytes(memory.used);
        let (Some(budget), Some(fraction)) = (memory.budget, self.line.fraction) else {
            return Row::from(format!("used {used}, of an unknown budget"));
        };
        let percent = 100.0 * fraction;
        let text = format!(" {used} of {} ({percent:.0} %)", bytes(budget));
        let room = usize::from(width).saturating_sub(text.chars().count());
        let full = ((fraction.clamp(0.0, 1.0) * room as f64).round() as usize).min(room);
        let (on, off) = if self.look.ascii {
            ("#", ".")
        } else {
            ("█", "░")
        };
        let color = match self.line.level.as_str() {
            // Reversed it would be a gap.
            "critical" if self.look.color => Style::new().fg(Color::Red),
            "critical" => Style::new().add_modifier(Modifier::BOLD),
            level => self.level(level),
        };
        Row::from(vec![
            Span::styled(on.repeat(full), color),
            Span::styled(off.repeat(room - full), self.faint()),
            Span::raw(text),
        ])
    }

    fn figures(&self, memory: &Memory) -> [Row<'static>; 2] {
        let footprint = memory.footprint.map_or("unknown".to_owned(), bytes);
        [
            Row::from(format!(
                "active {}  peak {}  cache {}",
                bytes(memory.active),
                bytes(memory.peak),
                bytes(memory.cache)
            )),
            Row::from(format!(
                "footprint {footprint}  uncounted {}  wired limit {}",
                bytes(memory.uncounted),
                bytes(memory.limit)
            )),
        ]
    }

    /// The pool that has the most, and how many more there are.
    fn pools(&self) -> Option<Row<'static>> {
        let pools = &self.line.pools;
        let has = |pool: &&Pool| pool.in_use.saturating_add(pool.idle);
        let pool = pools.iter().max_by_key(has)?;
        let (name, in_use, idle) = (plain(&pool.name), bytes(pool.in_use), bytes(pool.idle));
        let mut row = format!("pool {name:.16}: {in_use} in use, {idle} idle");
        if let Some(limit) = pool.limit {
            row.push_str(&format!(", of {}", bytes(limit)));
        }
        let all = pool.hits.saturating_add(pool.misses);
        if all > 0 {
            let reused = 100.0 * pool.hits as f64 / all as f64;
            row.push_str(&format!(", {reused:.0} % reused"));
        }
        if pools.len() > 1 {
            row.push_str(&format!("; {} more", pools.len() - 1));
        }
        Some(Row::from(row))
    }

    /// What was used, the latest at the right, from nothing to the budget or the most that was.
    fn history(&self, used: &[u64], memory: &Memory, width: u16) -> Vec<Row<'static>> {
        const BLOCKS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
        const ASCII: [&str; 9] = [" ", ".", ".", ":", ":", "|", "|", "#", "#"];
        let inks = if self.look.ascii { ASCII } else { BLOCKS };
        let used = &used[used.len().saturating_sub(width.into())..];
        let most = used.iter().copied().chain(memory.budget).max();
        let most = most.unwrap_or(0).max(1) as f64;
        let eighths = f64::from(HISTORY) * 8.0;
        let height = |bytes: u64| (bytes as f64 / most * eighths).round() as usize;
        let row = |from_below: u16| {
            let below = usize::from(from_below) * 8;
            let ink = |bytes: &u64| inks[height(*bytes).saturating_sub(below).min(8)];
            Row::from(used.iter().map(ink).collect::<String>())
        };
        (0..HISTORY).rev().map(row).collect()
    }

    fn guards(&self, frame: &mut Frame<'_>, area: Rect) {
        let line = self.line;
        let (live, held) = (line.guards_live, bytes(line.guards_bytes));
        let block = self.block(format!(" held: {held} in {live} "));
        let rows: Vec<_> = line.guards.iter().map(guard).collect();
        self.list(frame, area, block, rows, line.guards_live);
    }

    fn waiters(&self, frame: &mut Frame<'_>, area: Rect) {
        let line = self.line;
        let oldest = seconds(line.oldest_wait_seconds);
        let title = match line.waiting {
            0 => " waiting: none ".to_owned(),
            waiting => format!(" waiting: {waiting}, the longest for {oldest} "),
        };
        let rows: Vec<_> = line.waiters.iter().map(waiter).collect();
        let all = u64::try_from(line.waiting).unwrap_or(u64::MAX);
        self.list(frame, area, self.block(title), rows, all);
    }

    /// As many as there is room for, and how many are not told.
    fn list(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        block: Block<'_>,
        mut rows: Vec<Row<'static>>,
        all: u64,
    ) {
        let inner = block.inner(area);
        let room = usize::from(inner.height);
        if all > room as u64 || all > rows.len() as u64 {
            rows.truncate(room.saturating_sub(1));
            let more = all.saturating_sub(rows.len() as u64);
            if more > 0 {
                rows.push(Row::from(Span::styled(
                    format!("and {more} more"),
                    self.faint(),
                )));
            }
        }
        frame.render_widget(block, area);
        frame.render_widget(Paragraph::new(rows), inner);
    }

    fn foot(&self) -> Row<'static> {
        let waits = &self.line.waits;
        let text = match waits.count {
            0 => "no waits so far".to_owned(),
            count => format!(
                "{count} waits so far: half within {}, 99 % {}, longest {}",
                seconds(waits.median_seconds),
                seconds(waits.p99_seconds),
                seconds(waits.longest_seconds)
            ),
        };
        Row::from(Span::styled(format!("q ends  {text}"), self.faint()))
    }
}

/// In at most two rows, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    if text.chars().count() <= width {
        return vec![text.to_owned()];
    }
    let mut breaks = text.match_indices(' ').map(|(at, _)| at).rev();
    match breaks.find(|at| text[..*at].chars().count() <= width) {
        Some(at) => vec![text[..at].to_owned(), text[at + 1..].to_owned()],
        None => vec![text.to_owned()],
    }
}

fn named(label: &Option<String>, policy: &str) -> String {
    plain(label.as_deref().unwrap_or(policy))
}

fn guard(guard: &Guard) -> Row<'static> {
    let name = named(&guard.label, &guard.policy);
    let thread = guard.thread.as_deref().map_or(String::new(), plain);
    let age = guard.age_seconds.map_or(String::new(), seconds);
    // The screen is narrow: `--once` has the whole path.
    let place = plain(guard.place.rsplit('/').next().unwrap_or_default());
    let state = match guard.state.as_str() {
        "held" => String::new(),
        other => format!("  {}", plain(other)),
    };
    Row::from(format!(
        "{:>10}  {:<11} {name:<16.16} {thread:<12.12} {age:>8}  {place}{state}",
        bytes(guard.bytes),
        plain(&guard.kind),
    ))
}

fn waiter(waiter: &Waiter) -> Row<'static> {
    let name = named(&waiter.label, &waiter.policy);
    let waited = seconds(waiter.waited_seconds);
    Row::from(format!(
        "{:>10}  {waited:<11} {name:<16.16} {}",
        bytes(waiter.bytes),
        plain(&waiter.why)
    ))
}
