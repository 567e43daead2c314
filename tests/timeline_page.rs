//! What the page of a recording shows, as far as that can be told without a browser.
#![cfg(feature = "timeline")]

#[path = "kit/mod.rs"]
mod kit;

use kit::{MIB, Rig, SECOND, acquiring, quiet, written};
use mlx_wired::recorder::{Recorder, Recording};
use mlx_wired::{Error, OwnedGuard, SumPolicy};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// A second in which a guard of each name is held; the first is the largest.
fn holding<N: AsRef<str>>(names: &[N]) -> Result<Recording, Error> {
    let rig = Rig::new(quiet())?;
    let recorder = Recorder::new(&rig.manager);
    let guards = names.iter().enumerate().map(|(n, name)| {
        let bytes = (names.len() - n) as u64 * MIB;
        let ticket = rig.ticket(&SumPolicy::uncapped(), bytes);
        ticket.label(name.as_ref()).acquire_owned()
    });
    let guards: Vec<OwnedGuard> = guards.collect::<Result<_, _>>()?;
    rig.clock.advance(SECOND);
    drop(guards);
    Ok(recorder.finish())
}

fn page(recording: &Recording) -> String {
    written(|to| recording.write_page(to))
}

/// What stands between two marks, wherever they come one after the other.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    let parts = text.split(open).skip(1);
    parts.filter_map(move |part| part.split_once(close).map(|(inside, _)| inside))
}

/// The first of them.
fn first<'a>(text: &'a str, open: &'a str, close: &'a str) -> &'a str {
    let found = between(text, open, close).next();
    found.unwrap_or_else(|| panic!("{open} is missing"))
}

/// How a stand-in colour looks: the style sheet's colour, or the hatching with the colour below it.
fn look(page: &str, stand_in: &str) -> String {
    let rule = format!("svg [fill=\"{stand_in}\"] {{ fill: ");
    let fill = first(page, &rule, ";");
    if let Some(variable) = fill.strip_prefix("var(") {
        let definition = format!("{}: ", variable.trim_end_matches(')'));
        return first(page, &definition, ";").to_owned();
    }
    let pattern = fill.strip_prefix("url(#").expect("a colour or a pattern");
    let pattern = format!("<pattern id=\"{}\"", pattern.trim_end_matches(')'));
    let drawn = first(page, &pattern, "</pattern>");
    let below = look(page, first(drawn, "fill=\"", "\""));
    format!("{below} under {}", first(drawn, " d=\"", "\""))
}

/// The filled marks of the first legend: their looks and their names.
fn legend(page: &str) -> Vec<(String, &str)> {
    let legend = first(page, "<ul class=\"legend\"", "</ul>");
    let items = between(legend, "<li>", "</li>").filter(|item| item.contains("fill=\""));
    let items = items.map(|item| {
        let (_, name) = item.rsplit_once("</svg>").expect("a mark, then a name");
        (look(page, first(item, "fill=\"", "\"")), name)
    });
    items.collect()
}

#[test]
fn the_page_is_named_after_the_program() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let started_as = std::env::args().next().expect("tests are started by name");
    let file = Path::new(&started_as)
        .file_name()
        .and_then(|it| it.to_str());
    let file = file.expect("the test is a file");
    let recording = Recorder::new(&rig.manager).finish();
    assert_eq!(
        Some(recording.program()),
        file.strip_suffix(std::env::consts::EXE_SUFFIX)
    );

    let named = |name: &str| {
        let recorder = Recorder::new(&rig.manager).program(name);
        let recorder = recorder.in_background(SECOND);
        let recorder = recorder.expect("a thread can be started");
        rig.clock.advance(90 * SECOND);
        recorder.finish()
    };
    let recording = named("train");
    let text = page(&recording);
    assert_eq!(
        first(&text, "<title>", "</title>"),
        "train: memory over 90.0 s"
    );
    assert_eq!(first(&text, "<h1>", "</h1>"), "train");
    let trace = written(|to| recording.write_chrome_trace(to));
    let trace: serde_json::Value = serde_json::from_str(&trace).expect("it is JSON");
    let process = &trace["traceEvents"][0];
    assert_eq!(process["name"], "process_name");
    assert_eq!(process["args"]["name"], "train");

    let text = page(&named("</title><b>\u{1b}[2J"));
    assert_eq!(
        first(&text, "<h1>", "</h1>"),
        "&lt;/title&gt;&lt;b&gt;\\u{1b}[2J"
    );
    let long = page(&named(&"x".repeat(1000)));
    assert!(first(&long, "<title>", "</title>").len() < 200);
    Ok(())
}

#[test]
fn fourteen_labels_look_different_and_the_rest_is_counted() -> Result<(), Error> {
    let names: Vec<String> = (0..20).map(|n| format!("label {n}")).collect();
    for (count, others) in [(3, None), (14, None), (15, Some(1)), (20, Some(6))] {
        let text = page(&holding(&names[..count])?);
        let legend = legend(&text);
        let looks: BTreeSet<&String> = legend.iter().map(|(look, _)| look).collect();
        assert_eq!(looks.len(), legend.len(), "{legend:#?}");
        let mut shown: Vec<&str> = names[..count.min(14)].iter().map(|it| &**it).collect();
        let rest = others.map(|others| match others {
            1 => "1 other label".to_owned(),
            others => format!("{others} other labels together"),
        });
        shown.extend(rest.as_deref());
        let found: Vec<&str> = legend.iter().map(|(_, name)| *name).collect();
        assert_eq!(found, shown);
        // Those without a colour of their own can be read, too.
        for name in &names[..count] {
            let cell = format!("</svg>{name}</th>");
            assert!(text.contains(&cell), "{name} is missing among the sources");
        }
    }
    Ok(())
}

#[test]
fn labels_are_escaped_wherever_they_stand_and_nothing_is_something() -> Result<(), Error> {
    let names = [
        "<script>alert(1)</script>",
        "\" onload=\"",
        "\u{1b}[2J\u{202e}",
        " ",
    ];
    let text = page(&holding(&names)?);
    let found: Vec<&str> = legend(&text).iter().map(|(_, name)| *name).collect();
    let escaped = [
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&quot; onload=&quot;",
        "\\u{1b}[2J\\u{202e}",
        "(empty)",
    ];
    assert_eq!(found, escaped);
    for name in escaped {
        // In two legends, in the bars of both layouts, and among the sources.
        assert!(text.matches(name).count() >= 5, "{name}");
    }
    for raw in ["<script", "\" onload", "\u{1b}", "\u{202e}"] {
        assert!(!text.contains(raw), "{raw:?}");
    }
    Ok(())
}

#[test]
fn tables_scroll_or_stack_and_say_what_their_cells_are() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100 * MIB);
    let recorder = Recorder::new(&rig.manager);
    let kept = rig.ticket(&policy, 60 * MIB).label("kept");
    let kept = kept.acquire()?;
    rig.clock.advance(SECOND);
    let wait = mlx_wired::Wait::new().timeout(Duration::ZERO);
    let refused = rig.ticket(&policy, 50 * MIB).acquire_owned_with(wait);
    assert!(refused.is_err_and(|error| error.is_timeout()));
    let text = page(&recorder.finish());
    drop(kept);

    let wrapped = "<div class=\"scroll\" role=\"region\" aria-label=\"";
    assert_eq!(
        text.matches("<table").count(),
        text.matches(wrapped).count()
    );
    let tables: Vec<&str> = between(&text, "<table", "</table>").collect();
    assert!(tables.len() >= 2, "totals and what is still held");
    for table in tables {
        let heads: Vec<&str> = between(table, "<th scope=\"col\"", "</th>")
            .filter_map(|head| head.rsplit_once('>').map(|(_, name)| name))
            .collect();
        for row in between(table, "<tr role=\"row\">", "</tr>").skip(1) {
            // The first is the row's own head; the others say on a phone what they are.
            assert!(row.starts_with("<th scope=\"row\""), "{row}");
            let labels: Vec<&str> = between(row, "data-label=\"", "\"").collect();
            assert_eq!(labels, heads[1..]);
        }
    }
    let style = first(&text, "<style>", "</style>");
    assert!(text.contains("width=device-width") && style.contains("attr(data-label)"));
    assert!(style.contains(".scroll { overflow-x: auto; }"));
    Ok(())
}

#[test]
fn charts_say_what_they_show_to_those_who_cannot_see_them() -> Result<(), Error> {
    let text = page(&holding(&["weights", "step"])?);
    let labels: Vec<&str> = between(&text, "role=\"img\" aria-label=\"", "\"").collect();
    let wide: Vec<&str> = labels.into_iter().step_by(2).collect();
    assert_eq!(
        wide,
        [
            "Demand and limit: at most 3 MiB held at once",
            "Threads: 1 thread",
            "Sizes: the largest guard held 2 MiB",
        ]
    );
    // Each other drawing is beside the text that it belongs to.
    let drawings = text.matches("<svg").count();
    let silent = text.matches("aria-hidden=\"true\"").count();
    assert_eq!(drawings, silent + 2 * wide.len());
    Ok(())
}

#[test]
fn what_is_not_drawn_is_told() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), MIB);
    let recorder = Recorder::new(&rig.manager);
    for _ in 0..65 {
        let held = acquiring(&ticket).result()?;
        rig.clock.advance(SECOND);
        drop(held);
    }
    let beside: Vec<OwnedGuard> = (0..8)
        .map(|_| ticket.acquire_owned())
        .collect::<Result<_, _>>()?;
    rig.clock.advance(SECOND);
    drop(beside);
    let text = page(&recorder.finish());
    for told in [
        "Not shown: 2 threads with the fewest guards and waits.",
        "Not shown: 2 guards and waits beside 6 others of the same thread.",
    ] {
        assert!(text.contains(told), "{told}");
    }
    let whole = page(&holding(&["a"])?);
    assert!(!whole.contains("Not shown"));
    Ok(())
}

#[test]
fn recordings_of_any_length_have_axes_with_units() -> Result<(), Error> {
    for (length, mark) in [
        (Duration::from_micros(40), "20 µs"),
        (Duration::from_millis(40), "20 ms"),
        (60 * SECOND, "30 s"),
        (7_200 * SECOND, "30 min"),
        (86_400 * SECOND, "10 h"),
    ] {
        let rig = Rig::new(quiet())?;
        let recorder = Recorder::new(&rig.manager);
        let guard = rig
            .ticket(&SumPolicy::uncapped(), 3 << 30)
            .acquire_owned()?;
        rig.clock.advance(length);
        drop(guard);
        let text = page(&recorder.finish());
        let texts: Vec<&str> = between(&text, "<text", "</text>")
            .filter_map(|text| text.rsplit_once(">\n").map(|(_, label)| label.trim()))
            .collect();
        assert!(texts.contains(&mark), "{mark}: {texts:?}");
        assert!(texts.contains(&"2 GiB"), "{texts:?}");
    }
    Ok(())
}
