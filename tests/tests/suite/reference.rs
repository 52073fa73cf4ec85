//! `docs/wit-reference.md`, made from `wit/`: every world, interface, type and function with what is said of it there.
//! After a change of `wit/`, `UPDATE_EXPECT=1 cargo test -p wasmgate-tests reference` writes it anew.
//!
//! No parser of WIT: it takes the layout of our own files for granted (two spaces, one item a line, `///` before it) and
//! fails on a line that it cannot place.

use std::collections::BTreeMap;

use wasmgate_tests::build;

#[test]
fn the_reference_says_what_the_wit_says() {
    let wit = build::root().join("wit");
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir(&wit).expect("wit/").flatten() {
        let name = entry.file_name().into_string().expect("UTF-8");
        files.insert(name, std::fs::read_to_string(entry.path()).expect("a file"));
    }
    let reference = reference(&files);
    for text in files.values() {
        for name in text.lines().filter_map(|line| line.trim().strip_prefix("interface ")) {
            let name = name.trim_end_matches([' ', '{']);
            assert!(reference.contains(&format!("\n## Interface `{name}`\n")), "{name} is missing");
        }
    }
    expect_test::expect_file![build::root().join("docs/wit-reference.md")].assert_eq(&reference);
}

/// In the order in which one reads them.
const ORDER: [&str; 8] = [
    "worlds.wit",
    "plugin.wit",
    "interceptors.wit",
    "types.wit",
    "messages.wit",
    "capabilities.wit",
    "log.wit",
    "clock.wit",
];

fn reference(files: &BTreeMap<String, String>) -> String {
    let package = files.values().flat_map(|text| text.lines()).find_map(|line| line.strip_prefix("package "));
    let package = package.expect("a package").trim_end_matches(';');
    let mut page = Page::default();
    page.line(&format!("# The contract with plugins: `{package}`"));
    page.line("");
    page.line("<!-- Made from wit/ by tests/tests/suite/reference.rs; do not edit. -->");
    page.line("");
    page.line(
        "A plugin is one component that implements one world. JavaScript spells names `camelCase`, Rust and Python `snake_case`; \
         an absent `option<T>` is `null` in JavaScript (`undefined` is taken too) and `None` in Rust and Python. What each thing is for is in [plugins.md](plugins.md).",
    );
    let left = files.keys().filter(|name| !ORDER.contains(&name.as_str()));
    for name in ORDER.iter().map(|name| (*name).to_owned()).chain(left.cloned()) {
        let text = files.get(&name).unwrap_or_else(|| panic!("{name} is gone: take it out of ORDER"));
        file(text, &name, &mut page);
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A heading and what is said below it.
    fn section(&mut self, heading: &str, docs: &mut Vec<String>) {
        self.line("");
        self.line(heading);
        if !docs.is_empty() {
            self.line("");
            self.line(&docs.join(" "));
            docs.clear();
        }
    }
}

/// What the current lines belong to.
enum Within {
    File,
    World,
    Interface,
    /// A record, enum or variant whose members follow.
    Type,
}

fn file(text: &str, name: &str, page: &mut Page) {
    let (mut docs, mut within) = (Vec::new(), Within::File);
    let mut listed = false;
    for line in text.lines() {
        let item = line.trim();
        if let Some(doc) = item.strip_prefix("///") {
            docs.push(doc.trim().to_owned());
            continue;
        }
        match within {
            _ if item.is_empty() || item.starts_with("use ") => {}
            Within::File if item.starts_with("package ") => docs.clear(),
            Within::File => {
                let (kind, rest) = item.split_once(' ').unwrap_or_else(|| panic!("{name}: {line}"));
                let own = rest.trim_end_matches([' ', '{']);
                (within, listed) = match kind {
                    "world" => (Within::World, false),
                    "interface" => (Within::Interface, false),
                    _ => panic!("{name}: cannot place `{line}`"),
                };
                let kind = kind[..1].to_uppercase() + &kind[1..];
                page.section(&format!("## {kind} `{own}`"), &mut docs);
            }
            Within::World if item == "}" => within = Within::File,
            Within::World => {
                if !listed {
                    page.line("");
                    listed = true;
                }
                page.line(&format!("- `{}`", item.trim_end_matches(';')));
            }
            Within::Interface if item == "}" => within = Within::File,
            Within::Interface => {
                let whole = item.ends_with(';') || item.ends_with('}');
                let opens = item.ends_with('{');
                assert!(whole || opens, "{name}: cannot place `{line}`");
                let shown = item.trim_end_matches([';', '{', ' ']);
                page.section(&format!("### `{shown}`"), &mut docs);
                if opens {
                    within = Within::Type;
                    page.line("");
                }
            }
            Within::Type if item == "}" => within = Within::Interface,
            Within::Type => {
                let member = item.trim_end_matches(',');
                let said = std::mem::take(&mut docs).join(" ");
                page.line(format!("- `{member}` {said}").trim_end());
            }
        }
    }
    assert!(docs.is_empty() && matches!(within, Within::File), "{name} ends in the middle of something");
}
