//! Remotes: URLs and headers.

use expect_test::expect;

use super::*;

#[test]
fn urls() {
    check(
        &[
            remote(json!({"type": "streamable-http", "url": "https://h.example/mcp"})),
            remote(
                json!({"type": "sse", "url": "https://{tenant}.h.example/{region}/sse?k={key}", "variables": {"tenant": {"description": "Yours.", "isRequired": true}, "region": {"choices": ["eu", "us"], "default": "eu"}, "key": {"isSecret": true}}}),
            ),
            remote(
                json!({"type": "streamable-http", "url": "{base_url}/mcp", "variables": {"base_url": {}}}),
            ),
            remote(json!({"type": "streamable-http", "url": "https://h.example/{undeclared}/$x"})),
            remote(json!({"type": "http", "url": "https://h.example/mcp"})),
            remote(json!({"transport_type": "sse", "url": "https://h.example/sse"})),
            remote(json!({"url": "https://h.example/sse"})),
        ],
        &expect![[r#"
            remote: {"transport_type":"streamable-http","url":"https://h.example/mcp"}
            --
            config.region: {"default":"eu","enum":["eu","us"],"type":"string"}
            config.tenant (required): {"description":"Yours.","type":"string"}
            remote: {"transport_type":"sse","url":"https://{{io-github-acme-x.tenant}}.h.example/{{io-github-acme-x.region}}/sse?k=${KEY}"}
            secrets: {"env":"KEY","name":"io-github-acme-x.KEY","required":true}
            --
            config.base_url (required): {"type":"string"}
            remote: {"transport_type":"streamable-http","url":"{{io-github-acme-x.base_url}}/mcp"}
            --
            config.undeclared (required): {"type":"string"}
            remote: {"transport_type":"streamable-http","url":"https://h.example/{{io-github-acme-x.undeclared}}/%24x"}
            --
            remote: {"transport_type":"streamable-http","url":"https://h.example/mcp"}
            --
            remote: {"transport_type":"sse","url":"https://h.example/sse"}
            --
            remote: {"transport_type":"sse","url":"https://h.example/sse"}
            note: it says no HTTP transport; taken as sse
        "#]],
    );
}

#[test]
fn urls_that_are_refused() {
    check(
        &[
            remote(json!({"type": "sse", "url": "http://h.example/sse"})),
            remote(json!({"type": "sse", "url": "https://localhost:1/sse"})),
            remote(json!({"type": "sse", "url": "https://u:p@h.example/sse"})),
            remote(json!({"type": "sse", "url": "h.example"})),
            remote(json!({"type": "sse", "url": "https://h.example/a b"})),
            remote(json!({"type": "sse"})),
            remote(json!({"type": "grpc", "url": "https://h.example/"})),
        ],
        &expect![[r#"
            refused: its remote cannot be run: its URL `http://h.example/sse` is plain http, which only your own files may name
            --
            refused: its remote cannot be run: its URL `https://localhost:1/sse` points at the machine it is read on
            --
            refused: its remote cannot be run: its URL `https://u:p@h.example/sse` is not an address
            --
            refused: its remote cannot be run: its URL `h.example` is not an https address
            --
            refused: its remote cannot be run: its URL `https://h.example/a b` is not an address
            --
            refused: its remote cannot be run: it says no URL
            --
            refused: its remote cannot be run: its transport `grpc` is none of MCP's
        "#]],
    );
}

#[test]
fn headers_without_a_value() {
    check(
        &[headers(json!([{"name": "Authorization", "isSecret": true, "description": "Bearer token."},
                {"name": "X-Tenant", "isRequired": true},
                {"name": "X-Api-Key", "description": "A key."},
                {"name": "X-Region", "choices": ["eu", "us"], "isRequired": true},
                {"name": "X-Dynamic", "format": "boolean", "default": "false"},
                {"name": "X-Base-Url"}]))],
        &expect![[r#"
            config.X-Base-Url: {"type":"string"}
            config.X-Dynamic: {"default":false,"type":"boolean"}
            config.X-Region (required): {"enum":["eu","us"],"type":"string"}
            remote: {"headers":{"Authorization":"${AUTHORIZATION}","X-Api-Key":"${X_API_KEY}","X-Base-Url":"{{io-github-acme-x.X-Base-Url}}","X-Dynamic":"{{io-github-acme-x.X-Dynamic}}","X-Region":"{{io-github-acme-x.X-Region}}","X-Tenant":"${X_TENANT}"},"transport_type":"sse","url":"https://h.example/sse"}
            secrets: {"description":"Bearer token.","env":"AUTHORIZATION","name":"io-github-acme-x.AUTHORIZATION","required":false}
            secrets: {"env":"X_TENANT","name":"io-github-acme-x.X_TENANT","required":true}
            secrets: {"description":"A key.","env":"X_API_KEY","name":"io-github-acme-x.X_API_KEY","required":false}
        "#]],
    );
}

#[test]
fn headers_with_a_value() {
    check(
        &[
            headers(
                json!([{"name": "Authorization", "isSecret": true, "isRequired": true, "value": "Bearer {smithery_api_key}", "description": "B."}]),
            ),
            headers(json!([{"name": "Authorization", "value": "Bearer {smithery_api_key}"}])),
            headers(
                json!([{"name": "Authorization", "value": "Basic {user}:{password}", "variables": {"user": {"default": "me"}, "password": {"isSecret": true, "isRequired": true}}}]),
            ),
            headers(json!([{"name": "X-Version", "value": "2"},
                {"name": "X-Odd", "value": "{as} {it} $is"},
                {"name": "X-Region", "value": "{r}", "variables": {"r": {"choices": ["eu"]}}}])),
        ],
        &expect![[r#"
            remote: {"headers":{"Authorization":"Bearer ${SMITHERY_API_KEY}"},"transport_type":"sse","url":"https://h.example/sse"}
            secrets: {"description":"B.","env":"SMITHERY_API_KEY","name":"io-github-acme-x.SMITHERY_API_KEY","required":true}
            --
            remote: {"headers":{"Authorization":"Bearer ${SMITHERY_API_KEY}"},"transport_type":"sse","url":"https://h.example/sse"}
            secrets: {"env":"SMITHERY_API_KEY","name":"io-github-acme-x.SMITHERY_API_KEY","required":true}
            --
            config.user: {"default":"me","type":"string"}
            remote: {"headers":{"Authorization":"Basic {{io-github-acme-x.user}}:${PASSWORD}"},"transport_type":"sse","url":"https://h.example/sse"}
            secrets: {"env":"PASSWORD","name":"io-github-acme-x.PASSWORD","required":true}
            --
            config.r: {"enum":["eu"],"type":"string"}
            remote: {"headers":{"X-Odd":"{{'{'}}as{{'}'}} {{'{'}}it{{'}'}} $$is","X-Region":"{{io-github-acme-x.r}}","X-Version":"2"},"transport_type":"sse","url":"https://h.example/sse"}
        "#]],
    );
}

#[test]
fn headers_that_are_not_ours_to_set() {
    check(
        &[
            headers(json!([{"name": "Accept", "value": "x"}])),
            headers(json!([{"name": "a b", "value": "x"}])),
        ],
        &expect![[r#"
            remote: {"transport_type":"sse","url":"https://h.example/sse"}
            note: the header `Accept` is the gateway's own and not taken over
            --
            refused: its remote cannot be run: `a b` cannot name a header
        "#]],
    );
}
