//! The line that a program tells, as far as it is shown. What is absent is its default: fields are only added.

use serde::Deserialize;

/// The schema that this understands.
pub const SCHEMA: u32 = 1;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Line {
    pub schema: u32,
    pub program: String,
    pub pid: u32,
    pub mlx: Option<String>,
    pub device: Device,
    pub uptime_seconds: f64,
    pub level: String,
    pub pressure: String,
    pub fraction: Option<f64>,
    pub memory: Option<Memory>,
    pub problems: Vec<Problem>,
    pub guards_live: u64,
    pub guards_bytes: u64,
    pub guards: Vec<Guard>,
    pub waiting: usize,
    pub oldest_wait_seconds: f64,
    pub waiters: Vec<Waiter>,
    pub waits: Waits,
    pub pools: Vec<Pool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Device {
    pub kind: String,
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub active: u64,
    pub cache: u64,
    pub peak: u64,
    pub footprint: Option<u64>,
    pub limit: u64,
    pub budget: Option<u64>,
    pub uncounted: u64,
    pub used: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub id: String,
    pub severity: String,
    pub text: String,
    pub cure: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Guard {
    pub label: Option<String>,
    pub policy: String,
    pub kind: String,
    pub state: String,
    pub bytes: u64,
    pub place: String,
    pub thread: Option<String>,
    pub age_seconds: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Waiter {
    pub label: Option<String>,
    pub policy: String,
    pub bytes: u64,
    pub waited_seconds: f64,
    pub why: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Waits {
    pub count: u64,
    pub median_seconds: f64,
    pub p99_seconds: f64,
    pub longest_seconds: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pool {
    pub name: String,
    pub hits: u64,
    pub misses: u64,
    pub in_use: u64,
    pub idle: u64,
    pub limit: Option<u64>,
}

/// Reads a line.
pub fn parse(text: &str) -> Result<Line, String> {
    let line: Line = serde_json::from_str(text)
        .map_err(|error| format!("this is no line of a monitor's: {error}"))?;
    if line.schema != SCHEMA {
        let found = line.schema;
        return Err(format!(
            "the program tells schema {found}, this shows {SCHEMA}: take the viewer of the program's version"
        ));
    }
    Ok(line)
}
