//! The screen, from a line that the library's tests hold to a real one.

use super::options::{self, Called, Look};
use super::watching::Watching;
use super::{line, picture, print, screen};
use ratatui::buffer::Buffer;

const LINE: &str = include_str!("../tests/line.json");

const UNICODE: Look = Look {
    ascii: false,
    color: true,
};
const ASCII: Look = Look {
    ascii: true,
    color: false,
};

fn watching(line: &str) -> Watching {
    let mut watching = Watching::default();
    watching.note(Ok(line.trim_end().to_owned()));
    watching
}

fn text(screen: &Buffer) -> String {
    let width = usize::from(screen.area.width);
    let rows = screen.content.chunks(width);
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| row.trim_end().to_owned() + "\n").collect()
}

#[test]
fn all_that_matters_is_on_80_by_24() {
    let screen = text(&screen(&watching(LINE), UNICODE, (80, 24)));
    let mut from = 0;
    // In this order: what is wrong comes first.
    for part in [
        "critical, pressure warning  train  pid 4242  up 1 h 12 min  Apple M4 Max",
        "error  46.00 GiB in use of 45 GiB",
        "→ drop arrays",
        "eval has waited 42s",
        "of 45 GiB in\n       use\n",
        "→ release weights",
        "warning  live arrays grow",
        "not evaluated (`leak_check`, `train::Run`)",
        "46 GiB of 45 GiB (102 %)",
        "active 43 GiB  peak 46 GiB  cache 1.20 GiB",
        "footprint 52 GiB  uncounted 3 GiB  wired limit 42 GiB",
        "pool loader: 192 MiB in use, 64 MiB idle, of 480 MiB, 99 % reused",
        "held: 42 GiB in 4",
        "24 GiB  resident    weights          main         1 h 12 min  load.rs:31:14",
        "waiting: 2, the longest for 42.2 s",
        "eval",
        "q ends  912 waits so far",
    ] {
        let found = screen[from..].find(part);
        from += found.unwrap_or_else(|| panic!("{part:?} is not next:\n{screen}"));
    }
}

#[test]
fn ascii_is_ascii_and_no_color_is_none() {
    for size in [(80, 24), (100, 30), (200, 60)] {
        let screen = screen(&watching(LINE), ASCII, size);
        assert!(text(&screen).is_ascii(), "{}", text(&screen));
        let colors = screen.content.iter().filter(|cell| {
            cell.fg != ratatui::style::Color::Reset || cell.bg != ratatui::style::Color::Reset
        });
        assert_eq!(colors.count(), 0);
    }
}

#[test]
fn no_size_and_no_line_harms_it() {
    let hostile = LINE
        .replace("\"train\"", "\"\\u001b[2J\\u0007\"")
        .replace("1.0208", "1e308")
        .replace("46170898432", "18446744073709551615");
    for line in [
        LINE,
        &hostile,
        "{\"schema\":1}",
        "{\"schema\":1,\"memory\":{}}",
    ] {
        for width in [1, 2, 20, 80, 200] {
            for height in [1, 2, 5, 24, 50] {
                for look in [UNICODE, ASCII] {
                    let screen = screen(&watching(line), look, (width, height));
                    let text = text(&screen);
                    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'));
                }
            }
        }
    }
}

#[test]
fn a_program_that_has_ended_leaves_its_last_figures() {
    let mut watching = watching(LINE);
    watching.note(Err("the program has ended".to_owned()));
    let screen = text(&screen(&watching, UNICODE, (80, 24)));
    assert!(
        screen.contains("the program has ended; the figures are the last"),
        "{screen}"
    );
    assert!(screen.contains("held: 42 GiB in 4"), "{screen}");
}

#[test]
fn where_nothing_is_wrong_that_is_said() {
    let screen = text(&screen(&watching("{\"schema\":1}"), UNICODE, (80, 24)));
    assert!(screen.contains("nothing is wrong"), "{screen}");
    assert!(screen.contains("waiting: none"), "{screen}");
}

#[test]
fn lines_of_others_are_refused_and_new_fields_are_not() {
    line::parse("{\"schema\":1,\"new\":{\"field\":1}}").expect("fields are added");
    let error = line::parse("{\"schema\":2}").expect_err("another schema");
    assert!(error.contains("schema 2"), "{error}");
    line::parse("{}").expect_err("no schema");
    line::parse("hello").expect_err("no JSON");
}

#[test]
fn the_history_goes_no_further_back_than_it_is_kept() {
    let mut watching = Watching::default();
    for _ in 0..2000 {
        watching.note(Ok(LINE.trim_end().to_owned()));
    }
    assert_eq!(watching.used.len(), 512);
}

#[test]
fn figures_read_as_the_library_writes_them() {
    assert_eq!(print::bytes(1023), "1023 B");
    assert_eq!(print::bytes(3 << 29), "1.50 GiB");
    assert_eq!(print::bytes(u64::MAX), "16384 PiB");
    for (seconds, text) in [
        (0.0, "0 ms"),
        (0.25, "250 ms"),
        (42.25, "42.2 s"),
        (90.0, "1 min 30 s"),
        (4331.5, "1 h 12 min"),
        (-1.0, "0 ms"),
        (f64::INFINITY, "5124095576030431 h 0 min"),
    ] {
        assert_eq!(print::seconds(seconds), text);
    }
}

#[test]
fn a_picture_has_what_the_screen_has() {
    let svg = picture::svg(&screen(&watching(LINE), UNICODE, (100, 30)));
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("46 GiB of 45 GiB (102 %)"), "{svg}");
}

#[test]
fn arguments_are_read_and_wrong_ones_told() {
    let parse = |arguments: &[&str]| options::parse(arguments.iter().map(Into::into));
    let Ok(Called::Watch(options)) = parse(&["--once", "--every", "0.5", "--ascii", "s"]) else {
        panic!("they are right");
    };
    assert!(options.once && options.look.ascii);
    assert_eq!(options.every.as_millis(), 500);
    assert_eq!(parse(&["-h"]).expect("it is one"), Called::Help);
    for wrong in [
        &[][..],
        &["a", "b"],
        &["--kill", "s"],
        &["--every", "0", "s"],
        &["--every", "NaN", "s"],
    ] {
        parse(wrong).expect_err("they are wrong");
    }
}
