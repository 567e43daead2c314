//! What is said of the machine and of the environment.

use crate::kit::assert_says;
use crate::program::{asked, doctor, has, object_of, said};
use serde_json::Value;

/// What is said, for people and as an object, where `MLX_WIRED` is this.
fn with(value: &str) -> (String, Value) {
    let mut command = doctor::<&str>([]);
    command.env("MLX_WIRED", value);
    let text = said(command);
    let mut command = doctor(["--json"]);
    command.env("MLX_WIRED", value);
    let object = said(command);
    assert_eq!((text.code, object.code), (0, 0));
    (text.out, object_of(&object.out))
}

#[test]
fn the_machine_alone_ends_well_whatever_it_is() {
    let (text, value) = asked::<&str>([]);
    assert_eq!(text.code, 0);
    assert!(value["verdict"].is_null() && value["folder"].is_null());
    assert_eq!(value["bytes"], 0);
    assert!(text.out.contains("machine:"), "{}", text.out);
    let machine = &value["machine"];
    assert!(
        machine["device"].is_string() && machine["wires"].is_boolean(),
        "{machine:#}"
    );
    if cfg!(target_os = "linux") {
        let size = |name: &str| machine[name].as_u64().expect("Linux tells");
        assert!(size("available") <= size("memory"), "{machine:#}");
        let budget = value["budget"]["bytes"].as_u64().expect("it is known");
        assert!(0 < budget && budget <= size("memory"), "{machine:#}");
        assert!(machine["wired_limit"].is_null() && machine["raise"].is_null());
    }
}

#[test]
fn what_the_environment_says_is_told() {
    let (text, value) = with("never");
    assert_says(&text, "MLX_WIRED=never   (no limit is ever set;");
    assert_eq!(value["machine"]["environment"][0]["name"], "MLX_WIRED");
    assert_eq!(value["machine"]["environment"][0]["value"], "never");
}

#[test]
fn r43_an_empty_variable_is_as_if_it_were_not_set() {
    let (text, value) = with("");
    assert_says(&text, "MLX_WIRED=   (empty: as if it were not set)");
    assert!(!has(&value, "environment-not-understood"), "{value:#}");
    assert!(!has(&value, "wiring-switched-off"), "{value:#}");
}

#[test]
fn what_the_library_does_not_understand_is_a_warning() {
    let (text, value) = with("off\u{1b}[2J");
    assert!(has(&value, "environment-not-understood"), "{value:#}");
    assert!(text.contains("acts as `never`"), "{text}");
}
