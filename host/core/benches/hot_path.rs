//! How long the operations of the hot path take: `cargo bench -p wasmgate-core`. Their instructions are counted and pinned by
//! `tests/bench/hot-path`.

use divan::{Bencher, black_box};

mod scenarios;

use scenarios::{Envelopes, Lists, Sealed, Uninterested};

fn main() {
    divan::main();
}

/// A call and its answer: read, the name spliced, written.
#[divan::bench(args = [200, 4 << 10, 64 << 10, 1 << 20])]
fn envelope(bencher: Bencher<'_, '_>, bytes: usize) {
    let envelopes = Envelopes::of(bytes);
    bencher.counter(divan::counter::BytesCount::new(2 * bytes)).bench_local(|| envelopes.pass());
}

/// `tools/list` of all servers, made anew.
#[divan::bench(args = [10, 100])]
fn merge_servers_of_50_tools(bencher: Bencher<'_, '_>, servers: usize) {
    let lists = Lists::of(servers, 50);
    bencher.bench_local(|| lists.merge());
}

#[divan::bench(args = [10, 100])]
fn lookup_in_servers_of_50_tools(bencher: Bencher<'_, '_>, servers: usize) {
    let lists = Lists::of(servers, 50);
    let mut number = 0_usize;
    bencher.bench_local(move || {
        number = number.wrapping_add(1);
        lists.find(number)
    });
}

#[divan::bench]
fn page_of_a_list(bencher: Bencher<'_, '_>) {
    let lists = Lists::of(10, 50);
    bencher.bench_local(|| lists.page());
}

#[divan::bench]
fn seal_a_token(bencher: Bencher<'_, '_>) {
    let sealed = Sealed::new();
    bencher.bench_local(|| sealed.seal());
}

#[divan::bench]
fn open_a_token(bencher: Bencher<'_, '_>) {
    let sealed = Sealed::new();
    bencher.bench_local(|| sealed.open());
}

#[divan::bench]
fn interceptors_that_want_something_else(bencher: Bencher<'_, '_>) {
    let uninterested = Uninterested::new();
    bencher.bench_local(|| black_box(&uninterested).pass());
}
