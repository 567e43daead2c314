//! Everything that is written of a recording.

use super::Checked;
use mlx_wired::recorder::Recording;
use serde_json::Value;
use std::collections::HashMap;
use std::io;

/// All of it can be written, and says what the recording says.
pub(crate) fn check(recording: &Recording) -> Checked {
    page(recording)?;
    tables(recording)?;
    trace(recording)
}

fn written(
    what: &str,
    write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let result = write(&mut bytes);
    result.map_err(|error| format!("{what} cannot be written: {error}"))?;
    Ok(bytes)
}

fn page(recording: &Recording) -> Checked {
    let page = written("the page", |to| recording.write_page(to))?;
    match page.ends_with(b"</html>\n") {
        true => Ok(()),
        false => Err("the page has no end".to_owned()),
    }
}

/// A line for each, and a head.
fn tables(recording: &Recording) -> Checked {
    let events = written("the events", |to| recording.write_events_csv(to))?;
    let totals = written("the totals", |to| recording.write_totals_csv(to))?;
    let samples = written("the samples", |to| recording.write_samples_csv(to))?;
    let begin = recording.begin();
    let of_samples = recording.samples().iter().filter(|it| it.time >= begin);
    let expected = [
        (events, recording.events().len()),
        (totals, recording.totals().len()),
        (samples, of_samples.count()),
    ];
    for (table, rows) in expected {
        let mut reader = csv::Reader::from_reader(&*table);
        let read = reader.records().filter(Result::is_ok).count();
        if read != rows {
            let head = reader.headers();
            return Err(format!("{read} rows under {head:?}, not {rows}"));
        }
    }
    Ok(())
}

/// Beginnings and ends are nested on every track, and at the end nothing is held.
fn trace(recording: &Recording) -> Checked {
    let bytes = written("the trace", |to| recording.write_chrome_trace(to))?;
    let trace: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let entries = trace["traceEvents"].as_array().ok_or("no entries")?;
    let mut open: HashMap<u64, Vec<&str>> = HashMap::new();
    let (mut last, mut began) = (0.0, 0);
    let (mut demand, mut waiting) = (0, 0);
    for entry in entries {
        let (kind, name) = (&entry["ph"], entry["name"].as_str().unwrap_or_default());
        if kind == "M" {
            continue;
        }
        let time = entry["ts"].as_f64().ok_or("no time")?;
        if time < last {
            return Err(format!("{entry} after {last}"));
        }
        last = time;
        let track = open.entry(entry["tid"].as_u64().ok_or("no track")?);
        let track = track.or_default();
        let args = entry["args"].as_object();
        let sum = || {
            let values = args.into_iter().flat_map(|args| args.values());
            values.filter_map(Value::as_u64).sum::<u64>()
        };
        match kind.as_str().unwrap_or_default() {
            "B" => {
                began += 1;
                track.push(name);
            }
            "E" if track.pop() != Some(name) => return Err(format!("not nested: {entry}")),
            "C" if name == "demand" => demand = sum(),
            "C" if name == "waiting" => waiting = sum(),
            _ => {}
        }
    }
    let told = (began, demand, waiting, open.values().all(Vec::is_empty));
    let expected = (recording.intervals().len(), 0, 0, true);
    match told == expected {
        true => Ok(()),
        false => Err(format!("the trace ends with {told:?}, not {expected:?}")),
    }
}
