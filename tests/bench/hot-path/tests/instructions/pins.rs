//! What is noted, and under which conditions it holds.

use std::fmt::Write as _;
use std::process::Command;

use super::beside;

/// How far a count may be from what is noted.
const PERCENT: u64 = 5;

const HEAD: &str = "\
# Instructions of the hot path, once each: see main.rs. A change of more than 5 % fails `cargo test`; what is meant to be is
# accepted with `UPDATE_EXPECT=1 cargo test -p wasmgate-hot-path`, and the commit says why.
";

/// What is noted in the file.
pub(crate) struct Pins {
    conditions: String,
    counts: Vec<(String, u64)>,
}

impl Pins {
    pub(crate) fn of(conditions: String, counts: Vec<(String, u64)>) -> Self {
        Self { conditions, counts }
    }

    pub(crate) fn noted() -> Self {
        let text = std::fs::read_to_string(beside("pins.txt")).unwrap_or_default();
        let mut pins = Self { conditions: String::new(), counts: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(conditions) = line.strip_prefix("with ") {
                conditions.clone_into(&mut pins.conditions);
            } else if let Some((count, name)) = line.trim().split_once("  ") {
                pins.counts.push((name.to_owned(), count.parse().expect("a count")));
            }
        }
        pins
    }

    /// Writes the file.
    pub(crate) fn note(&self) {
        let mut text = format!("{HEAD}with {}\n", self.conditions);
        for (name, count) in &self.counts {
            let _infallible = writeln!(text, "{count:>12}  {name}");
        }
        std::fs::write(beside("pins.txt"), text).expect("the file");
    }

    /// Other compilers make other instructions.
    pub(crate) fn hold_under(&self, now: &str) -> Result<(), String> {
        if self.conditions == now {
            return Ok(());
        }
        Err(format!("instructions were noted with {}, and this is {now}: note them anew", self.conditions))
    }

    /// Fails, naming everything that is not as noted.
    pub(crate) fn check(&self, counts: &[(String, u64)]) {
        let said = self.differences(counts);
        assert!(
            said.is_empty(),
            "\n{said}if that is meant to be: UPDATE_EXPECT=1, and say so in the commit\n"
        );
    }

    fn differences(&self, counts: &[(String, u64)]) -> String {
        let mut said = String::new();
        for (name, count) in counts {
            let noted = self.counts.iter().find(|(noted, _)| noted == name).map(|(_, count)| *count);
            let _infallible = match noted {
                None => writeln!(said, "{name}: {count} instructions, none are noted"),
                Some(noted) if count * 100 > noted * (100 + PERCENT) => {
                    writeln!(said, "{name}: {count} instructions, MORE than the {noted} noted")
                }
                Some(noted) if count * 100 < noted * (100 - PERCENT) => {
                    writeln!(said, "{name}: {count} instructions, better than the {noted} noted: note it")
                }
                Some(_) => Ok(()),
            };
        }
        for (name, _) in &self.counts {
            if !counts.iter().any(|(counted, _)| counted == name) {
                let _infallible = writeln!(said, "{name}: noted, and not counted any more");
            }
        }
        said
    }
}

/// What counts depend on besides this repository: the compiler, how this test was built, and what the processor can do.
pub(crate) fn conditions() -> String {
    let rustc = Command::new("rustc").arg("--version").output().expect("rustc runs");
    let rustc = String::from_utf8_lossy(&rustc.stdout).trim().to_owned();
    let build = if cfg!(debug_assertions) { "debug" } else { "optimised" };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let avx2 = if cpu.split_whitespace().any(|flag| flag == "avx2") { "with" } else { "without" };
    format!("{rustc}, {} {avx2} AVX2, {build} tests", std::env::consts::ARCH)
}

#[test]
fn five_percent_are_let_pass_and_no_more() {
    let pins = Pins::of(String::new(), vec![("a".into(), 1000), ("gone".into(), 1)]);
    let said = |count: u64| pins.differences(&[("a".into(), count), ("gone".into(), 1)]);
    assert_eq!((said(950), said(1050)), (String::new(), String::new()));
    assert_eq!(said(1051), "a: 1051 instructions, MORE than the 1000 noted\n");
    assert_eq!(said(949), "a: 949 instructions, better than the 1000 noted: note it\n");
    let new = pins.differences(&[("a".into(), 1000), ("new".into(), 7)]);
    assert_eq!(new, "new: 7 instructions, none are noted\ngone: noted, and not counted any more\n");
}
