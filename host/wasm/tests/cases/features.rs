//! Which optional parts of wasmtime are in the product. Any dependency can turn one on; each is attack surface that the
//! advisories of the others do not mention, so a change here is a decision.

use std::process::Command;

use expect_test::expect;

#[test]
fn only_the_parts_of_wasmtime_that_are_used_are_there() {
    let cargo = std::env::var_os("CARGO").unwrap();
    let tree =
        ["tree", "--locked", "--workspace", "--edges", "normal", "--prefix", "none", "--format", "{p}: {f}"];
    let output = Command::new(cargo).current_dir(env!("CARGO_MANIFEST_DIR")).args(tree).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} v")));
        let features =
            line.and_then(|line| line.split_once(": ")).map_or("is not there", |(_, features)| features);
        format!("{name}: {}\n", features.trim_end_matches(" (*)").replace(',', " "))
    };
    let found: String =
        ["wasmtime", "wasmtime-wasi", "wasmtime-wasi-http", "wasmtime-wizer", "wat"].map(of).concat();
    expect![[r#"
        wasmtime: async component-model cranelift once_cell parallel-compilation pooling-allocator runtime std wasmtime-jit-icache-coherence
        wasmtime-wasi: p2
        wasmtime-wasi-http: is not there
        wasmtime-wizer: component-model
        wat: is not there
    "#]].assert_eq(&found);
}
