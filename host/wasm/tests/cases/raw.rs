//! Guests written by hand, for what no compiler lets a language do: code in the start function, in the allocator and in
//! post-return, several memories and tables, answers that fit no type.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A core module that implements the world `interceptor`, harmlessly but for what is put into it: bodies in the text format,
/// which run before the harmless answer. Words that WASI guests need are at the places of [`WASI`].
#[derive(Default)]
pub(crate) struct Raw<'a> {
    /// Core imports.
    pub(crate) imports: &'a str,
    /// Memories, tables, globals, functions, start.
    pub(crate) fields: &'a str,
    /// In the allocator; the parameters are those of `cabi_realloc`.
    pub(crate) realloc: &'a str,
    /// In `describe`.
    pub(crate) describe: &'a str,
    /// After `describe`.
    pub(crate) post_describe: &'a str,
    /// In `configure`.
    pub(crate) configure: &'a str,
    /// In `validate`.
    pub(crate) validate: &'a str,
    /// After `validate`.
    pub(crate) post_validate: &'a str,
    /// In `mutate`.
    pub(crate) mutate: &'a str,
    /// In `filter`.
    pub(crate) filter: &'a str,
}

/// What of WASI the guests here import: the same names and types, not all of them.
const WASI: &str = r"
package wasmgate:raw;
world raw {
    include wasmgate:plugin/interceptor@0.1.0;
    import wasi:clocks/monotonic-clock@0.2.0;
}
package wasi:io@0.2.0 {
    interface poll { resource pollable { block: func(); } }
}
package wasi:clocks@0.2.0 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }
}
";

/// Where `validate` keeps its answer, an empty list of findings unless something else is written there: one byte that says
/// `ok` (0) or `err` (1), then at 4 and 8 where the list or string is and how long.
pub(crate) const ANSWER: usize = 256;

const DESCRIPTOR: usize = 1024;
const HOOKS: usize = 1200;
const EVENT: usize = 1400;

impl Raw<'_> {
    /// Does nothing.
    pub(crate) const HARMLESS: Self = Self {
        imports: "",
        fields: "",
        realloc: "",
        describe: "",
        post_describe: "",
        configure: "",
        validate: "",
        post_validate: "",
        mutate: "",
        filter: "",
    };

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        resolve.push_path(&wit).unwrap();
        let own = resolve.push_str("raw.wit", WASI).unwrap();
        let world = resolve.select_world(&[own], Some("raw")).unwrap();
        let mut module = wat::parse_str(self.module()).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
    }

    fn module(&self) -> String {
        let Self { imports, fields, realloc, describe, post_describe, configure, .. } = self;
        let Self { validate, post_validate, mutate, filter, .. } = self;
        let (descriptor, hooks, event) = (bytes(&descriptor()), bytes(&hooks()), bytes(&words(&[2060, 1])));
        format!(
            r#"(module
            {imports}
            (memory (export "memory") 16)
            (global $top (mut i32) (i32.const 65536))
            {fields}
            (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
                (local $at i32)
                {realloc}
                (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
                (global.set $top (i32.add (local.get $at) (local.get $new)))
                ;; What a call was given is gone with the next one.
                (if (i32.gt_u (global.get $top) (i32.const 900000)) (then (global.set $top (i32.const 65536))))
                (local.get $at))
            (func (export "wasmgate:plugin/plugin@0.1.0#describe") (result i32) {describe} (i32.const {DESCRIPTOR}))
            (func (export "cabi_post_wasmgate:plugin/plugin@0.1.0#describe") (param i32) {post_describe})
            (func (export "wasmgate:plugin/plugin@0.1.0#configure") (param i32 i32) (result i32) {configure} (i32.const 512))
            (func (export "wasmgate:plugin/validator@0.1.0#validate") (param i32) (result i32) {validate} (i32.const {ANSWER}))
            (func (export "cabi_post_wasmgate:plugin/validator@0.1.0#validate") (param i32) {post_validate})
            (func (export "wasmgate:plugin/mutator@0.1.0#mutate") (param i32) (result i32) {mutate} (i32.const 512))
            (func (export "wasmgate:plugin/list-filter@0.1.0#filter") (param i32) (result i32) {filter} (i32.const 512))
            (data (i32.const {DESCRIPTOR}) "{descriptor}")
            (data (i32.const {HOOKS}) "{hooks}")
            (data (i32.const {EVENT}) "{event}")
            (data (i32.const 2048) "raw\00")
            (data (i32.const 2052) "1.0.0")
            (data (i32.const 2060) "*")
            (data (i32.const 2064) "{{}}"))"#
        )
    }
}

/// `descriptor`: named raw, one hook a role, pooled.
fn descriptor() -> Vec<u8> {
    let mut all = words(&[2048, 3, 2052, 5, 2048, 3, 1200, 3, 0, 0, 0, 0, 0]);
    all.extend([0, 2, 0, 0]);
    all.extend(words(&[0, 0, 0, 0, 0, 0, 0, 0, 2064, 2]));
    all
}

/// Every message and every list, without its payload.
fn hooks() -> Vec<u8> {
    let hook = |role: u8| {
        let mut hook = words(&[role.into(), 1400, 1]);
        hook.extend([u8::from(role != 2), 1, 0, 0]);
        hook.extend(words(&[0, 0, 0, 0, 0, 0, 0]));
        hook
    };
    [0, 1, 2].into_iter().flat_map(hook).collect()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// As a string of the text format.
fn bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}
