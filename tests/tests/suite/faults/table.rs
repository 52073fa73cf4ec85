//! The README's table of faults, made from the tests' names. After a change `UPDATE_EXPECT=1 cargo test -p wasmgate-tests
//! faults::table` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wasmgate_tests::build;

#[test]
fn every_fault_of_the_list_has_a_test() {
    let tested = tested();
    // F30 is about definitions that change under a pin; nothing can be pinned yet.
    let missing: Vec<u8> = (1..=29).chain(31..=42).filter(|number| !tested.contains_key(number)).collect();
    assert!(missing.is_empty(), "no test is named for {missing:?}");
}

#[test]
fn the_readme_lists_every_fault_that_is_tested() {
    let readme = build::root().join("README.md");
    let text = std::fs::read_to_string(&readme).expect("a README");
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the table begins");
    let (_, after) = rest.split_once(END).expect("the mark where it ends");
    let expected = format!("{before}{BEGIN}\n{}{END}{after}", table(&tested()));
    expect_test::expect_file![readme].assert_eq(&expected);
}

/// The names of the tests, by the number of their fault.
fn tested() -> BTreeMap<u8, Vec<String>> {
    let mut tested: BTreeMap<u8, Vec<String>> = BTreeMap::new();
    let sources = build::root().join("tests/tests/suite/faults");
    for entry in std::fs::read_dir(sources).expect("the faults").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a source");
        let names = text.lines().filter_map(|line| line.strip_prefix("async fn f")?.split_once('('));
        for (number, words) in names.filter_map(|(name, _)| name.split_once('_')) {
            if let Ok(number) = number.parse() {
                tested.entry(number).or_default().push(words.replace('_', " "));
            }
        }
    }
    tested.values_mut().for_each(|names| names.sort());
    tested
}

fn table(tested: &BTreeMap<u8, Vec<String>>) -> String {
    let mut table = String::from("| | a test breaks it like this |\n|---|---|\n");
    for (number, names) in tested {
        writeln!(table, "| F{number:02} | {} |", names.join("; ")).expect("a string takes everything");
    }
    table
}

const BEGIN: &str = "<!-- faults: made from the names of the tests -->";
const END: &str = "<!-- faults end -->";
