//! Where and when a run took place.

use crate::method;
use serde::{Deserialize, Serialize};
use std::env::consts::{ARCH, OS};
use std::fs;
use std::time::SystemTime;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) system: String,
    pub(crate) date: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let date = now.split('T').next().unwrap_or_default();
        Self {
            cpu: cpu().unwrap_or_else(|| "unknown".to_owned()),
            cores: method::cores(),
            system: format!("{OS} {ARCH}"),
            date: date.to_owned(),
        }
    }
}

/// The processor's name, where the system says it in a file.
fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
