//! The server: one request from its model to its last token.

use crate::account::Account;
use crate::connection::{Connection, Refusal};
use crate::models::Models;
use mlx_wired::{Config, Manager, Reclaimer, SumPolicy};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const MIB: u64 = 1 << 20;

/// What a token takes in a cache: a 7B's keys and values in half precision.
const BYTES_PER_TOKEN: u64 = MIB / 2;
pub(crate) const LONGEST_PROMPT: u64 = 2048;
pub(crate) const LONGEST_ANSWER: u64 = 512;
pub(crate) const LARGEST_CACHE: u64 = (LONGEST_PROMPT + LONGEST_ANSWER) * BYTES_PER_TOKEN;

/// How many acquires may wait. A client in a longer queue would be gone before its turn: better it is told at once, and asks
/// another server or comes again.
const QUEUE: usize = 6;

/// A step of the model: so many tokens, in so much time.
const STEP: u64 = 32;
const STEP_TIME: Duration = Duration::from_millis(1);
const PREFILL: Duration = Duration::from_millis(2);

/// How long a cache that cannot grow waits for others to end. Short: those may be waiting to grow, too, each holding what
/// another wants.
const GROWTH_PATIENCE: Duration = Duration::from_millis(5);

pub(crate) fn config() -> Config {
    Config::default().max_waiting(QUEUE)
}

/// How a cache comes to its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caches {
    /// All that it may need, before the first token. It is never refused in the middle.
    Whole,
    /// The prompt's first, then more with each step. More run at once, and any may be cut short.
    Growing,
}

/// What a client asks for. Lengths in tokens.
pub(crate) struct Request {
    pub(crate) model: usize,
    pub(crate) prompt: u64,
    /// The most that it wants in answer.
    pub(crate) most: u64,
    /// Where the model will come to its end: it cannot be known beforehand.
    pub(crate) answer: u64,
}

pub(crate) struct Answer {
    /// Until it had its model and memory.
    pub(crate) waited: Duration,
    pub(crate) cut_short: bool,
    pub(crate) steps: u64,
    /// Those among them that were done while another model was being loaded.
    pub(crate) steps_beside_loads: u64,
}

pub(crate) struct Server {
    manager: Manager,
    policy: SumPolicy,
    pub(crate) models: Arc<Models>,
    pub(crate) account: Arc<Account>,
    caches: Caches,
    _reclaimer: Reclaimer,
}

impl Server {
    pub(crate) fn new(manager: &Manager, caches: Caches) -> Self {
        // One policy for weights and caches, so that they share its cap: what the device recommends.
        let policy = SumPolicy::new();
        let account = Arc::new(Account::default());
        let models = Arc::new(Models::new(manager, &policy, Arc::clone(&account)));
        let gives_back = Arc::clone(&models);
        Self {
            _reclaimer: manager.on_shortage(move |shortage| gives_back.give_back(shortage)),
            manager: manager.clone(),
            policy,
            models,
            account,
            caches,
        }
    }

    /// Answers on the calling thread, one of a pool or the connection's own.
    pub(crate) fn handle(
        &self,
        request: &Request,
        connection: &Connection,
    ) -> Result<Answer, Refusal> {
        let began = Instant::now();
        // The model first. So a thread that waits for a model holds no memory that another could be waiting for; one that
        // waits for memory holds a model in use, and those that run it end.
        let model = self.models.get(request.model, connection)?;

        let longest = match self.caches {
            Caches::Whole => request.prompt + request.most,
            Caches::Growing => request.prompt,
        };
        let ticket = self.manager.ticket(&self.policy, cache_bytes(longest));
        let ticket = ticket.label(model.name);
        let mut guard = ticket.acquire_with(connection.wait())?;
        // Dropped before the guard, as a cache must be.
        let mut promised = self.account.promised.count(guard.bytes());
        let mut cache = self.account.used.count(cache_bytes(request.prompt));

        let mut answer = Answer {
            waited: began.elapsed(),
            cut_short: false,
            steps: 0,
            steps_beside_loads: 0,
        };
        thread::sleep(PREFILL);
        let mut tokens = 0;
        while tokens < request.answer {
            if connection.is_closed() {
                // Everything is given back on the way out.
                return Err(Refusal::GaveUp);
            }
            tokens = request.answer.min(tokens + STEP);
            let bytes = cache_bytes(request.prompt + tokens);
            if self.caches == Caches::Growing {
                match guard.resize_timeout(bytes, GROWTH_PATIENCE) {
                    Ok(()) => promised.grow_to(bytes),
                    Err(error) if error.is_timeout() => {
                        answer.cut_short = true;
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            cache.grow_to(bytes);
            thread::sleep(STEP_TIME);
            answer.steps += 1;
            answer.steps_beside_loads += u64::from(self.account.loading.now() > 0);
        }
        Ok(answer)
    }

    /// For the thread that watches the connections.
    pub(crate) fn hang_up(&self, connection: &Connection) {
        connection.close();
        self.models.look_again();
    }

    /// After the last request: MLX's limit is what it was before.
    pub(crate) fn close(&self) {
        self.models.clear();
        self.manager.close();
    }
}

fn cache_bytes(tokens: u64) -> u64 {
    tokens * BYTES_PER_TOKEN
}
