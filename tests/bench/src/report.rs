//! What comes out: tables as Markdown, printed as they are filled, and everything again as JSON; and how what was measured stands to
//! its targets.

use serde_json::{Value, json};
use wasmgate_tests::build::root;

use super::process::say;
use super::suite::Out;
use super::{Anyhow, plot};

/// One cell: medians over its rounds.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    /// What the table varies.
    pub(crate) axis: &'static str,
    /// Which value of it.
    pub(crate) at: String,
    /// Which way the calls went.
    pub(crate) route: String,
    /// Microseconds by which half, 99 % and 99.9 % were done.
    pub(crate) latency: [f64; 3],
    /// What was done in a second.
    pub(crate) per_second: f64,
    /// CPU seconds for a thousand, of what is measured; of nothing for the direct way.
    pub(crate) cpu: Option<f64>,
    /// Resident memory afterwards, in KiB.
    pub(crate) rss: Option<u64>,
    /// Rounds in which something else was going on.
    pub(crate) disturbed: usize,
}

/// What was said so far.
pub(crate) struct Report {
    facts: Value,
    text: String,
    cells: Vec<Cell>,
    figures: Vec<Value>,
    targets: Vec<[String; 3]>,
}

impl Report {
    /// Begins with where it is.
    pub(crate) fn new(facts: Value, line: &str) -> Self {
        let (text, cells, figures, targets) = Default::default();
        let mut report = Self { facts, text, cells, figures, targets };
        report.line(line);
        report
    }

    /// One line.
    pub(crate) fn line(&mut self, line: &str) {
        say(line);
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// The head of a table of cells.
    pub(crate) fn head(&mut self, title: &str) {
        self.line(&format!("\n**{title}**\n"));
        self.line("| | route | p50 us | p99 us | p99.9 us | added to direct | per second | CPU s per 1,000 | RSS MB | disturbed |");
        self.line("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    }

    /// One row of it.
    pub(crate) fn cell(&mut self, cell: Cell) {
        let [p50, p99, p999] = cell.latency;
        let added = match self.find(cell.axis, &cell.at, "direct") {
            Some(direct) => {
                let [d50, d99, d999] = direct.latency;
                format!("{:+.0}, {:+.0}, {:+.0}", p50 - d50, p99 - d99, p999 - d999)
            }
            None => String::new(),
        };
        let cpu = cell.cpu.map(|cpu| format!("{cpu:.4}")).unwrap_or_default();
        let rss = cell.rss.map(|rss| format!("{:.1}", megabytes(rss))).unwrap_or_default();
        let disturbed = if cell.disturbed == 0 { String::new() } else { cell.disturbed.to_string() };
        self.line(&format!(
            "| {} | {} | {p50:.0} | {p99:.0} | {p999:.0} | {added} | {:.0} | {cpu} | {rss} | {disturbed} |",
            cell.at, cell.route, cell.per_second
        ));
        self.cells.push(cell);
    }

    /// The cells of one place at another: the same, and not measured twice.
    pub(crate) fn again(&mut self, from: (&str, &str), to: (&'static str, &str)) {
        let there: Vec<_> =
            self.cells.iter().filter(|cell| (cell.axis, cell.at.as_str()) == from).cloned().collect();
        for cell in there {
            self.cell(Cell { axis: to.0, at: to.1.into(), ..cell });
        }
    }

    /// A table of other things.
    pub(crate) fn table(&mut self, title: &str, columns: &[&str]) {
        self.line(&format!("\n**{title}**\n"));
        self.line(&format!("| {} |", columns.join(" | ")));
        let places: Vec<&str> =
            columns.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "---:" }).collect();
        self.line(&format!("|{}|", places.join("|")));
    }

    /// One row of it: what, and figures.
    pub(crate) fn row(&mut self, what: &str, figures: &[String]) {
        self.line(&format!("| {what} | {} |", figures.join(" | ")));
        self.figures.push(json!({"what": what, "figures": figures}));
    }

    /// A cell that was measured before.
    pub(crate) fn find(&self, axis: &str, at: &str, route: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.axis == axis && cell.at == at && cell.route == route)
    }

    /// What must not be exceeded.
    pub(crate) fn at_most(&mut self, what: &str, measured: f64, most: f64, unit: &str) {
        self.target(what, format!("{measured:.2}{unit}"), format!("<= {most}{unit}"), measured <= most);
    }

    /// What must be reached.
    pub(crate) fn at_least(&mut self, what: &str, measured: f64, least: f64, unit: &str) {
        self.target(what, format!("{measured:.2}{unit}"), format!(">= {least}{unit}"), measured >= least);
    }

    fn target(&mut self, what: &str, measured: String, target: String, is_met: bool) {
        let word = if is_met { "met" } else { "missed" };
        self.targets.push([what.to_owned(), measured, format!("{target}: {word}")]);
    }

    /// The targets, and files of everything.
    pub(crate) fn finish(mut self, out: &Out) -> Anyhow<()> {
        let targets = std::mem::take(&mut self.targets);
        self.table("Targets", &["", "measured", "target"]);
        for [what, measured, target] in &targets {
            self.line(&format!("| {what} | {measured} | {target} |"));
        }
        let directory = &out.directory;
        std::fs::create_dir_all(directory)?;
        let json = json!({
            "machine": self.facts,
            "cells": self.cells.iter().map(Cell::json).collect::<Vec<_>>(),
            "figures": self.figures,
            "targets": targets,
        });
        let picture = plot::svg(&self.cells);
        std::fs::write(directory.join("results.json"), format!("{json:#}\n"))?;
        std::fs::write(directory.join("results.svg"), &picture)?;
        std::fs::write(directory.join("results.md"), &self.text)?;
        say(&format!("\nin {}: results.md, results.json, results.svg", directory.display()));
        if out.is_for_docs {
            let docs = root().join("docs");
            let page = docs.join("benchmarks.md");
            std::fs::write(&page, put(&std::fs::read_to_string(&page)?, &self.text)?)?;
            std::fs::write(docs.join("benchmarks.svg"), picture)?;
        }
        Ok(())
    }
}

impl Cell {
    fn json(&self) -> Value {
        let [p50, p99, p999] = self.latency;
        json!({
            "axis": self.axis, "at": self.at, "route": self.route, "p50_us": p50, "p99_us": p99, "p999_us": p999,
            "per_second": self.per_second, "cpu_s_per_1000": self.cpu, "rss_kib": self.rss, "disturbed": self.disturbed,
        })
    }
}

/// The page with these results in the place of those it has.
fn put(page: &str, results: &str) -> Anyhow<String> {
    let [begin, end] = ["<!-- results -->\n", "<!-- end of results -->\n"];
    let (before, rest) = page.split_once(begin).ok_or("the page has no place for results")?;
    let (_, after) = rest.split_once(end).ok_or("the page's place for results has no end")?;
    Ok(format!("{before}{begin}{results}\n![as a picture](benchmarks.svg)\n{end}{after}"))
}

/// Of KiB.
pub(crate) fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

#[test]
fn results_take_the_place_of_those_before() {
    let page = "head\n<!-- results -->\nold\n<!-- end of results -->\nrest\n";
    let new = put(page, "new\n").unwrap();
    assert!(
        new.starts_with("head\n<!-- results -->\nnew\n") && new.ends_with("<!-- end of results -->\nrest\n")
    );
    assert_eq!(put(&new, "new\n").unwrap(), new);
    assert!(put("a page without", "new").is_err());
}
