//! Arguments of packages.

use expect_test::expect;

use super::*;

#[test]
fn positional() {
    check(
        &[args(json!([{"type": "positional", "value": "serve"},
                {"type": "positional", "valueHint": "dir", "isRequired": true},
                {"type": "positional", "valueHint": "other"},
                {"type": "positional", "description": "Unnamed."},
                {"type": "positional", "value": "{a}/{b}", "variables": {"a": {"isRequired": true}, "b": {"default": "x"}}}]))],
        &expect![[r#"
            command: ["serve","{{io-github-acme-x.dir|or:[]|into}}","{{io-github-acme-x.other|or:[]|into}}","{{io-github-acme-x.argument|or:[]|into}}","{{io-github-acme-x.a}}/{{io-github-acme-x.b}}"]
            config.a (required): {"type":"string"}
            config.argument: {"description":"Unnamed.","type":"string"}
            config.b: {"default":"x","type":"string"}
            config.dir (required): {"type":"string"}
            config.other: {"type":"string"}
            image: "docker.io/acme/x:1"
        "#]],
    );
}

#[test]
fn positional_values_have_defaults_choices_and_lists() {
    check(
        &[args(
            json!([{"type": "positional", "valueHint": "mode", "default": "ro", "choices": ["ro", "rw"]},
                {"type": "positional", "valueHint": "dirs", "isRepeated": true, "format": "filepath"},
                {"type": "positional", "value": "{x}", "isRepeated": true, "variables": {"x": {}}}]),
        )],
        &expect![[r#"
            command: ["{{io-github-acme-x.mode|or:[]|into}}","{{io-github-acme-x.dirs|or:[]|volume-target|into}}","{{io-github-acme-x.x|or:[]|into}}"]
            config.dirs: {"items":{"type":"string"},"type":"array"}
            config.mode: {"default":"ro","enum":["ro","rw"],"type":"string"}
            config.x: {"type":"string"}
            image: "docker.io/acme/x:1"
            volumes: ["{{io-github-acme-x.dirs|volume}}"]
            note: the argument `argument` may be given several times; it is given once
        "#]],
    );
}

#[test]
fn named() {
    check(
        &[args(json!([{"type": "named", "name": "--fixed", "value": "1"},
                {"type": "named", "name": "--port", "format": "number", "default": "8080"},
                {"type": "named", "name": "--dir", "format": "filepath", "isRequired": true},
                {"type": "named", "name": "--tag", "isRepeated": true},
                {"type": "named", "name": "--eq=", "valueHint": "v"},
                {"type": "named", "name": "--eq=", "value": "{x}y", "variables": {"x": {"isRequired": true}}},
                {"type": "named", "name": "--one", "value": "{x}", "variables": {"x": {}}}]))],
        &expect![[r#"
            command: ["--fixed","1","{{io-github-acme-x.port|option:--port|into}}","{{io-github-acme-x.dir|volume-target|option:--dir|into}}","{{io-github-acme-x.tag|option:--tag|into}}","{{io-github-acme-x.eq|option:--eq=|into}}","--eq={{io-github-acme-x.x}}y","{{io-github-acme-x.x|option:--one|into}}"]
            config.dir (required): {"type":"string"}
            config.eq: {"type":"string"}
            config.port: {"default":8080,"type":"number"}
            config.tag: {"items":{"type":"string"},"type":"array"}
            config.x (required): {"type":"string"}
            image: "docker.io/acme/x:1"
            volumes: ["{{io-github-acme-x.dir|volume}}"]
        "#]],
    );
}

/// With nothing said about it a flag is part of the command; with a description, it is for people to decide.
#[test]
fn flags_without_a_value() {
    check(
        &[args(json!([{"type": "named", "name": "--mcp"},
                {"type": "named", "name": "--safe", "description": "Only safe tools."},
                {"type": "named", "name": "--read-only", "format": "boolean", "description": "R."},
                {"type": "named", "name": "--off", "format": "boolean", "default": "false"},
                {"type": "named", "name": "--on", "format": "boolean", "default": "true"},
                {"type": "named", "name": "--must", "format": "boolean", "isRequired": true}]))],
        &expect![[r#"
            command: ["--mcp","{{io-github-acme-x.safe|flag:--safe|into}}","{{io-github-acme-x.read-only|flag:--read-only|into}}","{{io-github-acme-x.off|flag:--off|into}}","{{io-github-acme-x.on|option:--on|into}}","{{io-github-acme-x.must|flag:--must|into}}"]
            config.must: {"type":"boolean"}
            config.off: {"default":false,"type":"boolean"}
            config.on: {"default":true,"type":"boolean"}
            config.read-only: {"description":"R.","type":"boolean"}
            config.safe: {"description":"Only safe tools.","type":"boolean"}
            image: "docker.io/acme/x:1"
            note: nothing says that the argument `--safe` takes a value: it is given, alone, when `safe` is true
        "#]],
    );
}

#[test]
fn sloppy_names() {
    check(
        &[
            args(json!([{"type": "named", "name": "port", "value": "1"},
                {"type": "named", "name": "t", "value": "1"},
                {"type": "named", "name": "--a", "value": "--a=1"},
                {"type": "named", "name": "--b", "value": "--b 1"},
                {"type": "named", "name": "--c", "value": "--c"}])),
            args(json!([{"type": "named", "name": "--config <path>"}])),
        ],
        &expect![[r#"
            command: ["--port","1","-t","1","--a=1","--b","1","--c"]
            image: "docker.io/acme/x:1"
            note: the argument `port` is taken as `--port`
            note: the argument `t` is taken as `-t`
            note: the value of the argument `--a` repeats the flag
            note: the value of the argument `--b` repeats the flag
            note: the value of the argument `--c` repeats the flag
            --
            refused: its package cannot be run: its argument `--config <path>` has a name that is no flag
        "#]],
    );
}

#[test]
fn secrets() {
    check(
        &[
            args(
                json!([{"type": "named", "name": "--token", "isSecret": true, "isRequired": true, "description": "T."},
                {"type": "named", "name": "--key", "value": "k={k}", "variables": {"k": {"isSecret": true, "isRequired": true}}},
                {"type": "positional", "valueHint": "pw", "isSecret": true, "isRequired": true}]),
            ),
            args(json!([{"type": "named", "name": "--token", "isSecret": true},
                {"type": "named", "name": "--key", "value": "{k}", "variables": {"k": {"isSecret": true}}}])),
        ],
        &expect![[r#"
            command: ["--token","${TOKEN}","--key","k=${K}","${PW}"]
            image: "docker.io/acme/x:1"
            secrets: {"description":"T.","env":"TOKEN","name":"io-github-acme-x.TOKEN","required":true}
            secrets: {"env":"K","name":"io-github-acme-x.K","required":true}
            secrets: {"env":"PW","name":"io-github-acme-x.PW","required":true}
            --
            image: "docker.io/acme/x:1"
            note: the argument `token` is an optional secret and left out: set it in `command` of the server in wasmgate.yaml
            note: the argument `key` is an optional secret and left out: set it in `command` of the server in wasmgate.yaml
        "#]],
    );
}

#[test]
fn text_that_looks_like_a_template() {
    check(
        &[args(json!([{"type": "named", "name": "--json", "value": "{\"a\": 1}"},
                {"type": "positional", "value": "$HOME"},
                {"type": "positional", "value": "--x={y}"}]))],
        &expect![[r#"
            command: ["--json","{{'{'}}\"a\": 1{{'}'}}","$$HOME","--x={{'{'}}y{{'}'}}"]
            image: "docker.io/acme/x:1"
        "#]],
    );
}
