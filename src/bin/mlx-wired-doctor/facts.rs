//! What is said of the machine, for people.

use super::machine::{Machine, Trial};
use mlx_wired::ffi::DeviceKind;
use mlx_wired::print::{Bytes, Name};

/// A name and a value for each line.
pub(crate) fn facts(machine: &Machine, verbose: bool) -> Vec<(&'static str, String)> {
    let device = &machine.device;
    let mut facts = Vec::new();
    let known = device.name.iter().chain(&device.architecture);
    let known: String = known.map(|it| format!(", {}", Name::new(it))).collect();
    facts.push(("device", format!("{}{known}", device.kind)));
    facts.push((
        "MLX",
        match &machine.mlx {
            Some(version) => format!("{} is linked", Name::new(version)),
            None => "not linked".to_owned(),
        },
    ));
    if let Some(memory) = machine
        .device
        .memory_size
        .filter(|_| device.kind == DeviceKind::Cuda)
    {
        let free = device
            .free_memory
            .map(|free| format!(", {} free", Bytes(free)));
        facts.push((
            "card's memory",
            format!("{}{}", Bytes(memory), free.unwrap_or_default()),
        ));
    }
    // What the device says first: it is the one that counts.
    let memory = match device.kind {
        DeviceKind::Cuda => machine.memory,
        _ => device.memory_size.or(machine.memory),
    };
    if let Some(memory) = memory {
        let free = machine
            .available
            .map(|free| format!(", {} free at present", Bytes(free)));
        facts.push((
            "memory",
            format!("{}{}", Bytes(memory), free.unwrap_or_default()),
        ));
    }
    facts.push((
        "container",
        match machine.container {
            Some(limit) => format!("allows {}", Bytes(limit)),
            None => "none that allows less".to_owned(),
        },
    ));
    facts.push(("wired memory", device.support.to_string()));
    if let Some(ceiling) = &machine.ceiling {
        facts.push(("ceiling", ceiling.to_string()));
    }
    wired_limit(machine, &mut facts);
    facts.push((
        "budget",
        match machine.budget {
            Some(budget) => format!("{}, {}", Bytes(budget.bytes), budget.of),
            None => "not known".to_owned(),
        },
    ));
    facts.push((
        "a guard",
        match &machine.trial {
            Trial::Wired => "of 1 MiB is admitted and wired".to_owned(),
            Trial::Counted => "of 1 MiB is admitted; nothing is wired".to_owned(),
            Trial::Refused(_) => "of 1 MiB is refused".to_owned(),
        },
    ));
    if verbose {
        let sizes = [
            ("largest buffer", device.max_buffer_length),
            ("memory limit", machine.counters.map(|it| it.memory_limit)),
        ];
        for (name, bytes) in sizes {
            facts.extend(bytes.map(|bytes| (name, Bytes(bytes).to_string())));
        }
        facts.extend(
            device
                .resource_limit
                .map(|n| ("buffers", format!("at most {n} at once"))),
        );
    }
    for variable in &machine.variables {
        let meaning = variable
            .meaning
            .map(|it| format!("   ({it})"))
            .unwrap_or_default();
        facts.push((
            "environment",
            format!("{}={}{meaning}", variable.name, variable.value),
        ));
    }
    if machine.variables.is_empty() {
        facts.push(("environment", "nothing is set".to_owned()));
    }
    facts
}

/// A Mac's own limit, and what raises it.
fn wired_limit(machine: &Machine, facts: &mut Vec<(&'static str, String)>) {
    match machine.wired_limit {
        Some(0) => facts.push(("system's limit", "the system's default".to_owned())),
        Some(bytes) => facts.push(("system's limit", format!("set to {}", Bytes(bytes)))),
        None => {}
    }
    if let Some(raise) = &machine.raise {
        let (more, command) = (Bytes(raise.more), &raise.command);
        facts.push((
            "to raise it",
            format!("{command}   ({more} more, until the next start)"),
        ));
    }
}
