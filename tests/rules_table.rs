//! Holds `docs/RULES.md` to the repository: the tests that it names exist, each rule has a test that is named after it,
//! and no rule is cited that has no section there.

mod documents;

use documents::{root, tests};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const RULES: &str = "docs/RULES.md";

/// Where rules are cited. What a published package does not have is not missed.
const PLACES: [&str; 10] = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "src",
    "tests",
    "benches",
    "examples",
    "docs",
    "scripts",
    ".ci",
];

/// What is not looked at: recordings that others have made; and this file, which makes rules up.
const NOT_READ: [&str; 2] = ["tests/data", "tests/rules_table.rs"];

/// Texts by their paths from the root.
type Texts = BTreeMap<String, String>;

/// A rule: its number, and a letter where it is a part of one. In the order of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rule(u32, Option<char>);

impl Rule {
    /// The rule that `text` begins with, as in `7_small_drop` and `26a: holds`, and what follows it.
    fn strip(text: &str) -> Option<(Self, &str)> {
        let digits = text.find(|c: char| !c.is_ascii_digit());
        let (number, rest) = text.split_at(digits.unwrap_or(text.len()));
        let number = number.parse().ok()?;
        let letter = rest.chars().next().filter(char::is_ascii_lowercase);
        Some((
            Self(number, letter),
            &rest[letter.map_or(0, char::len_utf8)..],
        ))
    }

    /// The rules that a test's name begins with, as in `r10_r14_the_setter`.
    fn all_of(test: &str) -> Vec<Self> {
        let parts = test.split('_').map_while(|part| {
            let (rule, rest) = Self::strip(part.strip_prefix('r')?)?;
            rest.is_empty().then_some(rule)
        });
        parts.collect()
    }

    /// The rules that a line cites, in prose or in the name of a test. Nothing else in the repository looks like one: no
    /// type parameter is named so, and of the data that is not text nothing is read.
    fn cited(line: &str) -> Vec<Self> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let in_prose = line.match_indices('R').filter_map(|(at, _)| {
            let (rule, rest) = Self::strip(&line[at + 1..])?;
            (!line[..at].ends_with(is_word) && !rest.starts_with(is_word)).then_some(rule)
        });
        let name = line.trim_start().strip_prefix("fn ");
        in_prose
            .chain(name.map(Self::all_of).unwrap_or_default())
            .collect()
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = self.1.map(String::from).unwrap_or_default();
        write!(f, "R{}{letter}", self.0)
    }
}

/// One rule's part of the document, from its heading on.
struct Section<'a> {
    rule: Rule,
    name: &'a str,
    text: &'a str,
}

fn sections(document: &str) -> Vec<Section<'_>> {
    let parts = document.split("\n## R").skip(1);
    parts
        .filter_map(|part| {
            // Another heading may follow.
            let part = part.split("\n## ").next().unwrap_or(part);
            let (heading, text) = part.split_once('\n').unwrap_or((part, ""));
            let (rule, name) = Rule::strip(heading)?;
            Some(Section { rule, name, text })
        })
        .collect()
}

/// The tests that a text names: file and function.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|name| {
        name.split_once("::")
            .filter(|(file, _)| file.ends_with(".rs"))
    })
}

/// What is wrong with the document, as the repository is.
fn faults(texts: &Texts) -> Vec<String> {
    let document = &texts[RULES];
    let sections = sections(document);
    let mut faults = Vec::new();
    for (file, test) in named(document) {
        let exists = texts
            .get(file)
            .is_some_and(|text| tests(text).contains(test));
        if !exists {
            faults.push(format!("there is no test {file}::{test}"));
        }
    }
    let tests_meant = document.matches(".rs::").count();
    if named(document).count() != tests_meant {
        faults.push("a test is not named between backticks".to_owned());
    }
    for Section { rule, name, text } in &sections {
        if !name.starts_with(' ') {
            faults.push(format!("{rule} has no name"));
        }
        if !text.contains("\n**Why.** ") {
            faults.push(format!("{rule} does not say why"));
        }
        if !named(text).any(|(_, test)| Rule::all_of(test).contains(rule)) {
            faults.push(format!("{rule} names no test that is named after it"));
        }
    }
    for pair in sections.windows(2) {
        if pair[0].rule >= pair[1].rule {
            faults.push(format!("{} stands before {}", pair[0].rule, pair[1].rule));
        }
    }
    let known: BTreeSet<Rule> = sections.iter().map(|section| section.rule).collect();
    for (file, text) in texts {
        for (line, number) in text.lines().zip(1..) {
            let unknown = Rule::cited(line)
                .into_iter()
                .filter(|rule| !known.contains(rule));
            faults.extend(
                unknown.map(|rule| format!("{file}:{number} cites {rule}, which has no section")),
            );
        }
    }
    faults
}

/// Adds the text of a file, or of all files in a folder.
fn read(path: &Path, texts: &mut Texts) {
    let name = path.strip_prefix(root()).expect("below the root");
    let name = name.to_str().expect("a plain name").replace('\\', "/");
    if NOT_READ.contains(&&*name) {
        return;
    }
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap_or_else(|e| panic!("{name}: {e}"));
        for entry in entries {
            read(&entry.expect("the folder is read").path(), texts);
        }
    } else if let Ok(text) = fs::read_to_string(path) {
        // What is no text, such as a picture, cites nothing.
        texts.insert(name, text);
    }
}

#[test]
fn the_rules_are_those_that_are_cited_and_tested() {
    let mut texts = Texts::new();
    for place in PLACES {
        read(&root().join(place), &mut texts);
    }
    let faults = faults(&texts);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let citing = |text: &&String| text.lines().any(|line| !Rule::cited(line).is_empty());
    let citing = texts.values().filter(citing).count();
    assert!(
        citing > 50,
        "only {citing} files cite rules: are they read?"
    );
}

/// A repository of two rules without a fault.
fn made_up() -> Texts {
    let rules = "\
# The rules

## Words

None.

## R901 One

The rule.

**Why.** A harm.

**Tests**

* `tests/of.rs::r901_it_holds`

## R902 Another

The rule.

**Why.** A harm.

**Tests**

* `tests/of.rs::r902_it_holds`
";
    let tests = "#[test]\nfn r901_it_holds() {}\n\n#[test]\nfn r902_it_holds() {}\n";
    [
        (RULES, rules),
        ("tests/of.rs", tests),
        ("README.md", "As R901 says (R902).\n"),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into()
}

/// The faults after `from` was replaced in one file.
fn faults_with(file: &str, from: &str, to: &str) -> Vec<String> {
    let mut texts = made_up();
    let text = texts.get_mut(file).expect("made up");
    assert!(text.contains(from), "{from} is not in {text}");
    *text = text.replace(from, to);
    faults(&texts)
}

#[test]
fn a_table_without_a_fault_has_none() {
    assert_eq!(faults(&made_up()), [""; 0]);
}

#[test]
fn a_test_that_does_not_exist_is_a_fault() {
    let gone = "there is no test tests/of.rs::r902_it_holds";
    let renamed = faults_with("tests/of.rs", "r902_it_holds", "r902_it_held");
    assert_eq!(renamed, [gone]);
    let no_test = faults_with("tests/of.rs", "#[test]\nfn r902", "fn r902");
    assert_eq!(no_test, [gone]);
    let unseen = faults_with(RULES, "A harm.", "A harm: see tests/of.rs::gone.");
    assert_eq!(unseen, ["a test is not named between backticks"]);
    let elsewhere = faults_with(RULES, "of.rs::r902", "off.rs::r902");
    assert_eq!(elsewhere, ["there is no test tests/off.rs::r902_it_holds"]);
}

#[test]
fn a_rule_without_a_test_of_its_own_is_a_fault() {
    let expected = ["R902 names no test that is named after it"];
    let none = faults_with(RULES, "* `tests/of.rs::r902_it_holds`", "None yet.");
    assert_eq!(none, expected);
    let anothers = faults_with(RULES, "of.rs::r902", "of.rs::r901");
    assert_eq!(anothers, expected);
}

#[test]
fn a_rule_that_is_cited_and_has_no_section_is_a_fault() {
    let cites = |rule: &str| format!("README.md:1 cites {rule}, which has no section");
    for rule in ["R903", "R901a", "R90", "R9020"] {
        let cited = faults_with("README.md", "says", &format!("and {rule}: say"));
        assert_eq!(cited, [cites(rule)]);
    }
    let in_a_name = faults_with("README.md", "As", "    fn r901_r903_it_holds() {\n");
    assert_eq!(in_a_name, [cites("R903")]);
    let gone = faults_with(RULES, "## R902 Another", "## Another");
    assert!(gone.contains(&cites("R902")), "{gone:?}");
}

#[test]
fn what_only_looks_like_a_citation_is_none() {
    for word in [
        "XR903",
        "R903C",
        "R903_",
        "_R903",
        "R",
        "r903",
        "fn r_903",
        "fn right_r903",
        "fn r903",
    ] {
        let faults = faults_with("README.md", "As", word);
        assert_eq!(faults, [""; 0], "{word}");
    }
}

#[test]
fn a_section_of_another_form_is_a_fault() {
    let nameless = faults_with(RULES, "R902 Another", "R902");
    assert_eq!(nameless, ["R902 has no name"]);
    let unexplained = faults_with(RULES, "**Why.** A harm.", "");
    assert_eq!(
        unexplained,
        ["R901 does not say why", "R902 does not say why"]
    );
    let unordered = faults_with(RULES, "R901 One", "R902 One");
    assert!(
        unordered.contains(&"R902 stands before R902".to_owned()),
        "{unordered:?}"
    );
}
