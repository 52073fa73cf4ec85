//! Environment variables and what inputs are: values, defaults, choices, formats, secrets, variables.

use expect_test::expect;

use super::*;

#[test]
fn values_and_defaults() {
    check(
        &[env(json!([{"name": "A", "value": "fixed"},
                {"name": "B", "default": "x"},
                {"name": "C"},
                {"name": "D", "isRequired": true, "description": "The D."}]))],
        &expect![[r#"
            config.B: {"default":"x","type":"string"}
            config.C: {"type":"string"}
            config.D (required): {"description":"The D.","type":"string"}
            env: {"name":"A","value":"fixed"}
            env: {"name":"B","value":"{{io-github-acme-x.B}}"}
            env: {"name":"C","value":"{{io-github-acme-x.C}}"}
            env: {"name":"D","value":"{{io-github-acme-x.D}}"}
            image: "docker.io/acme/x:1"
        "#]],
    );
}

#[test]
fn formats_decide_types_where_the_default_is_one() {
    check(
        &[env(json!([{"name": "N", "format": "number", "default": "8080"},
                {"name": "M", "format": "number", "default": "auto"},
                {"name": "B", "format": "boolean", "default": "true"},
                {"name": "I", "format": "integer", "default": 5},
                {"name": "O", "format": "url"}]))],
        &expect![[r#"
            config.B: {"default":true,"type":"boolean"}
            config.I: {"default":5,"type":"number"}
            config.M: {"default":"auto","type":"string"}
            config.N: {"default":8080,"type":"number"}
            config.O: {"type":"string"}
            env: {"name":"N","value":"{{io-github-acme-x.N}}"}
            env: {"name":"M","value":"{{io-github-acme-x.M}}"}
            env: {"name":"B","value":"{{io-github-acme-x.B}}"}
            env: {"name":"I","value":"{{io-github-acme-x.I}}"}
            env: {"name":"O","value":"{{io-github-acme-x.O}}"}
            image: "docker.io/acme/x:1"
        "#]],
    );
}

/// A default that is no choice becomes one: the catalog would not take it otherwise.
#[test]
fn choices_and_examples() {
    check(
        &[env(json!([{"name": "A", "choices": ["x", "y"]},
                {"name": "B", "choices": ["x"], "default": "all"},
                {"name": "C", "placeholder": "https://...", "description": "An address."}]))],
        &expect![[r#"
            config.A: {"enum":["x","y"],"type":"string"}
            config.B: {"default":"all","enum":["all","x"],"type":"string"}
            config.C: {"description":"An address. For example: `https://...`.","type":"string"}
            env: {"name":"A","value":"{{io-github-acme-x.A}}"}
            env: {"name":"B","value":"{{io-github-acme-x.B}}"}
            env: {"name":"C","value":"{{io-github-acme-x.C}}"}
            image: "docker.io/acme/x:1"
        "#]],
    );
}

#[test]
fn secrets() {
    check(
        &[env(json!([{"name": "A", "isSecret": true, "isRequired": true, "description": "The key."},
                {"name": "B", "isSecret": true, "choices": ["x", "y"], "default": "x", "placeholder": "e"},
                {"name": "C", "isSecret": true, "value": "published"}]))],
        &expect![[r#"
            env: {"name":"C","value":"published"}
            image: "docker.io/acme/x:1"
            secrets: {"description":"The key.","env":"A","name":"io-github-acme-x.A","required":true}
            secrets: {"description":"For example: `e`. One of: x, y. Usually `x`, which has to be set too.","env":"B","name":"io-github-acme-x.B","required":false}
            note: the value of the secret `C` is published with the server
        "#]],
    );
}

#[test]
fn variables() {
    check(
        &[
            env(
                json!([{"name": "A", "value": "{x}", "variables": {"x": {"description": "X.", "isRequired": true}}},
                {"name": "B", "value": "http://{host}:{port}/{other}", "variables": {"host": {}, "port": {"format": "number", "default": "80"}}}]),
            ),
            env(
                json!([{"name": "A", "value": "Bearer {token}", "isRequired": true, "variables": {"token": {"isSecret": true}}},
                {"name": "B", "value": "{user}:{token}", "variables": {"token": {"isSecret": true}, "user": {"isRequired": true}}}]),
            ),
            env(
                json!([{"name": "TOKEN", "value": "Bearer {token}", "isSecret": true, "variables": {"token": {"description": "T."}, "how": {"value": "x"}}}]),
            ),
            env(
                json!([{"name": "A", "value": "{v}{w}", "variables": {"v": {"value": "fixed"}, "w": {"choices": ["a", "b"]}}},
                {"name": "B", "value": "{w}", "variables": {"w": {"choices": ["a"]}}}]),
            ),
        ],
        &expect![[r#"
            config.host: {"type":"string"}
            config.port: {"default":80,"type":"number"}
            config.x (required): {"description":"X.","type":"string"}
            env: {"name":"A","value":"{{io-github-acme-x.x}}"}
            env: {"name":"B","value":"http://{{io-github-acme-x.host}}:{{io-github-acme-x.port}}/{{'{'}}other{{'}'}}"}
            image: "docker.io/acme/x:1"
            note: `B` has a gap where an optional value is not set
            --
            config.user (required): {"type":"string"}
            env: {"name":"A","value":"Bearer ${TOKEN}"}
            env: {"name":"B__USER","value":"{{io-github-acme-x.user}}"}
            env: {"name":"B","value":"${B__USER}:${TOKEN}"}
            image: "docker.io/acme/x:1"
            secrets: {"env":"TOKEN","name":"io-github-acme-x.TOKEN","required":true}
            --
            env: {"name":"TOKEN","value":"Bearer ${TOKEN_2}"}
            image: "docker.io/acme/x:1"
            secrets: {"description":"T.","env":"TOKEN_2","name":"io-github-acme-x.TOKEN_2","required":false}
            --
            config.B-w: {"enum":["a"],"type":"string"}
            config.w: {"enum":["a","b"],"type":"string"}
            env: {"name":"A","value":"fixed{{io-github-acme-x.w}}"}
            env: {"name":"B","value":"{{io-github-acme-x.B-w}}"}
            image: "docker.io/acme/x:1"
            note: `A` has a gap where an optional value is not set
        "#]],
    );
}

#[test]
fn text_that_looks_like_a_template() {
    check(
        &[env(json!([{"name": "A", "value": "{\"a\": 1}"},
                {"name": "B", "value": "$HOME/x"},
                {"name": "C", "value": "{{x.y}}"},
                {"name": "D", "value": "{v} {x}", "variables": {"v": {}}}]))],
        &expect![[r#"
            config.v: {"type":"string"}
            env: {"name":"A","value":"{\"a\": 1}"}
            env: {"name":"B","value":"$$HOME/x"}
            env: {"name":"C","value":"{{'{'}}{{'{'}}x.y{{'}'}}{{'}'}}"}
            env: {"name":"D","value":"{{io-github-acme-x.v}} {{'{'}}x{{'}'}}"}
            image: "docker.io/acme/x:1"
            note: `D` has a gap where an optional value is not set
        "#]],
    );
}

#[test]
fn paths_are_mounted_unless_they_have_a_default() {
    check(
        &[env(json!([{"name": "A", "format": "filepath", "isRequired": true},
                {"name": "B", "format": "filepath", "default": "/etc/b"}]))],
        &expect![[r#"
            config.A (required): {"type":"string"}
            config.B: {"default":"/etc/b","type":"string"}
            env: {"name":"A","value":"{{io-github-acme-x.A|volume-target}}"}
            env: {"name":"B","value":"{{io-github-acme-x.B}}"}
            image: "docker.io/acme/x:1"
            volumes: ["{{io-github-acme-x.A|volume}}"]
        "#]],
    );
}

#[test]
fn sloppy_lists() {
    check(
        &[
            env(json!([{"name": ""},
                {"name": "A", "value": "1"},
                {"name": "A", "value": "2"},
                {"name": "B", "frobs": true, "format": "strnig"}])),
            env(json!([{"name": "A B", "value": "1"}])),
        ],
        &expect![[r#"
            config.B: {"type":"string"}
            env: {"name":"A","value":"1"}
            env: {"name":"B","value":"{{io-github-acme-x.B}}"}
            image: "docker.io/acme/x:1"
            note: `packages[0].environmentVariables[3].frobs` means nothing here and is passed over
            note: an empty item among its variables is passed over
            note: `A` is set twice; the first counts
            --
            refused: its package cannot be run: `A B` cannot name a variable of an environment
        "#]],
    );
}

#[test]
fn old_spelling() {
    check(
        &[
            json!({"server": {"name": "filesystem", "version_detail": {"version": "1.0.2"}, "description": "d", "packages": [{"registry_name": "docker", "name": "mcp/filesystem", "version": "1.0.2", "runtime_hint": "docker", "environment_variables": [{"name": "K", "is_secret": true, "is_required": true}], "package_arguments": [{"type": "positional", "value_hint": "dir", "is_repeated": true, "is_required": true, "format": "string"}]}]}}),
        ],
        &expect![[r#"
            command: ["{{filesystem.dir|or:[]|into}}"]
            config.dir (required): {"items":{"type":"string"},"type":"array"}
            image: "mcp/filesystem:1.0.2"
            secrets: {"env":"K","name":"filesystem.K","required":true}
        "#]],
    );
}
