//! Runs each scenario of the pure part so often that one more or less does not matter, and prints its name and how often. It
//! means something only below callgrind, which counts what happens in [`hot_path_measured`]: see the test beside it.

use std::hint::black_box;
use std::io::Write as _;

#[path = "../../../../host/core/benches/scenarios/mod.rs"]
mod scenarios;

use scenarios::{Envelopes, Lists, Sealed, Uninterested};

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut scenario = |name: &str, times: usize, once: &dyn Fn(usize)| {
        once(0);
        hot_path_measured(times, once);
        writeln!(out, "{name}\t{times}")
    };
    let sealed = Sealed::new();
    scenario("token sealed", 500, &|_| drop(black_box(sealed.seal())))?;
    scenario("token opened", 500, &|_| drop(black_box(sealed.open())))?;
    let uninterested = Uninterested::new();
    scenario("interceptors that want something else", 1000, &|_| {
        black_box(uninterested.pass());
    })?;
    for (name, bytes, times) in [("200 B", 200, 200), ("16 KiB", 16 << 10, 20), ("1 MiB", 1 << 20, 2)] {
        let envelopes = Envelopes::of(bytes);
        scenario(&format!("envelope, read and spliced, {name}"), times, &|_| {
            drop(black_box(envelopes.pass()))
        })?;
    }
    let lists = Lists::of(10, 50);
    scenario("tools of 10 servers x 50 merged", 2, &|_| drop(black_box(lists.merge())))?;
    scenario("tool looked up", 1000, &|number| drop(black_box(lists.find(number))))?;
    scenario("page of 500 tools", 20, &|_| drop(black_box(lists.page())))
}

/// What is counted; found by its name.
#[inline(never)]
fn hot_path_measured(times: usize, once: &dyn Fn(usize)) {
    for number in 0..times {
        once(black_box(number));
    }
}
