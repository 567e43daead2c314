//! The clients: more than the server can serve, some of them impatient.

use crate::Failure;
use crate::connection::{Connection, Refusal};
use crate::models::CATALOGUE;
use crate::server::{LONGEST_ANSWER, LONGEST_PROMPT, Request, Server};
use fastrand::Rng;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub(crate) const CLIENTS: usize = 24;

/// Of twenty requests, so many are for each model of the catalogue.
const POPULARITY: [u64; CATALOGUE.len()] = [11, 7, 2];

/// What a refused client waits before it comes again.
const RETRY_AFTER: Duration = Duration::from_millis(3);

/// How often one of the clients hangs up.
const HANG_UPS: Duration = Duration::from_millis(20);

/// How long threads may take to end after the last request was sent. No client has that much patience.
const END: Duration = Duration::from_secs(20);

/// Waits in microseconds, up to an hour, to three digits.
pub(crate) type Waits = Histogram<u64>;

/// What became of a client's requests.
pub(crate) struct Tally {
    pub(crate) served: u64,
    pub(crate) cut_short: u64,
    pub(crate) refused_full: u64,
    pub(crate) gave_up: u64,
    pub(crate) steps: u64,
    pub(crate) steps_beside_loads: u64,
    /// Of those served.
    pub(crate) waits: Waits,
}

impl Tally {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            served: 0,
            cut_short: 0,
            refused_full: 0,
            gave_up: 0,
            steps: 0,
            steps_beside_loads: 0,
            waits: Waits::new_with_bounds(1, 3_600_000_000, 3)?,
        })
    }

    fn add(&mut self, other: &Self) -> Result<(), Failure> {
        self.served += other.served;
        self.cut_short += other.cut_short;
        self.refused_full += other.refused_full;
        self.gave_up += other.gave_up;
        self.steps += other.steps;
        self.steps_beside_loads += other.steps_beside_loads;
        Ok(self.waits.add(&other.waits)?)
    }
}

pub(crate) struct Outcome {
    /// Of the clients that ended.
    pub(crate) tally: Tally,
    /// Threads that did not end in time.
    pub(crate) stuck: usize,
}

/// What the threads share.
struct Traffic {
    server: Arc<Server>,
    /// Each client's present request.
    connections: Vec<Mutex<Connection>>,
    served: ProgressBar,
    over: AtomicBool,
}

/// Lets all clients send requests for so long.
pub(crate) fn run(server: &Arc<Server>, time: Duration) -> Result<Outcome, Failure> {
    let served = ProgressBar::new_spinner();
    served.set_style(ProgressStyle::with_template(
        "{spinner} {pos} requests served, {per_sec}, {elapsed}",
    )?);
    let idle = || Mutex::new(Connection::new(Instant::now()));
    let traffic = Arc::new(Traffic {
        server: Arc::clone(server),
        connections: (0..CLIENTS).map(|_| idle()).collect(),
        served,
        over: AtomicBool::new(false),
    });

    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let traffic = Arc::clone(&traffic);
        let thread = thread::Builder::new().name(format!("client {number}"));
        clients.push(thread.spawn(move || traffic.client(number))?);
    }
    let watches = Arc::clone(&traffic);
    let watcher = thread::Builder::new().name("hang-ups".to_owned());
    let watcher = watcher.spawn(move || watches.hang_ups())?;
    thread::sleep(time);
    traffic.over.store(true, Relaxed);

    let give_up = Instant::now() + END;
    let mut outcome = Outcome {
        tally: Tally::new()?,
        stuck: 0,
    };
    for client in clients {
        match ended(client, give_up)? {
            Some(tally) => outcome.tally.add(&tally?)?,
            None => outcome.stuck += 1,
        }
    }
    if ended(watcher, give_up)?.is_none() {
        outcome.stuck += 1;
    }
    traffic.served.finish_and_clear();
    Ok(outcome)
}

/// What a thread gave; nothing if it has not ended in time.
fn ended<T>(thread: JoinHandle<T>, give_up: Instant) -> Result<Option<T>, Failure> {
    while !thread.is_finished() {
        if Instant::now() >= give_up {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(1));
    }
    let name = thread.thread().name().unwrap_or("a thread").to_owned();
    let result = thread.join().map_err(|_| format!("{name} panicked"))?;
    Ok(Some(result))
}

impl Traffic {
    fn client(&self, number: usize) -> Result<Tally, Failure> {
        let mut rng = Rng::with_seed(number as u64);
        let mut tally = Tally::new()?;
        while !self.over.load(Relaxed) {
            let request = Request::random(&mut rng);
            let connection = Connection::new(Instant::now() + patience(&mut rng));
            *self.connections[number].lock() = connection.clone();
            match self.server.handle(&request, &connection) {
                Ok(answer) => {
                    self.served.inc(1);
                    tally.served += 1;
                    tally.cut_short += u64::from(answer.cut_short);
                    tally.steps += answer.steps;
                    tally.steps_beside_loads += answer.steps_beside_loads;
                    let waited = answer.waited.as_micros() as u64;
                    tally.waits.saturating_record(waited);
                }
                Err(Refusal::Full) => {
                    tally.refused_full += 1;
                    thread::sleep(RETRY_AFTER);
                }
                Err(Refusal::GaveUp) => tally.gave_up += 1,
                Err(Refusal::Failed(error)) => return Err(error.into()),
            }
        }
        Ok(tally)
    }

    /// One of the clients hangs up, again and again.
    fn hang_ups(&self) {
        let mut rng = Rng::with_seed(CLIENTS as u64);
        while !self.over.load(Relaxed) {
            thread::sleep(HANG_UPS);
            let connection = self.connections[rng.usize(0..CLIENTS)].lock().clone();
            self.server.hang_up(&connection);
        }
    }
}

impl Request {
    fn random(rng: &mut Rng) -> Self {
        let mut drawn = rng.u64(0..POPULARITY.iter().sum());
        let model = POPULARITY.iter().position(|share| {
            let is_drawn = drawn < *share;
            drawn = drawn.saturating_sub(*share);
            is_drawn
        });
        let most = rng.u64(LONGEST_ANSWER / 4..=LONGEST_ANSWER);
        Self {
            model: model.unwrap_or(0),
            prompt: rng.u64(LONGEST_PROMPT / 8..=LONGEST_PROMPT),
            most,
            answer: rng.u64(1..=most),
        }
    }
}

/// Every fifth client gives up soon.
fn patience(rng: &mut Rng) -> Duration {
    let milliseconds = if rng.u32(0..5) == 0 {
        rng.u64(5..20)
    } else {
        rng.u64(200..2000)
    };
    Duration::from_millis(milliseconds)
}
