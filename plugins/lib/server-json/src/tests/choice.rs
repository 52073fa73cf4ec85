//! Which form of a server is taken; images, npm and PyPI packages; HTTP; status and names.

use expect_test::expect;

use super::*;

#[test]
fn images() {
    check(
        &[
            package(json!({"identifier": "docker.io/acme/x:1"})),
            package(json!({"identifier": "acme/x", "version": "1.2"})),
            package(json!({"identifier": "acme/x", "version": "1.2", "registryBaseUrl": "https://ghcr.io"})),
            package(json!({"identifier": "acme/x"})),
            package(json!({"identifier": "ghcr.io/Acme/X:1", "version": "2"})),
            package(
                json!({"identifier": "docker.io/mcp/x:sha256:d9dc2f44f4f624bdc5fb5817abc74f6244dd40b2d03036380cd6253eff374ae5"}),
            ),
            package(json!({"identifier": "a b"})),
            package(json!({"identifier": "--rm"})),
            package(json!({"identifier": "acme/x", "version": "not a tag"})),
        ],
        &expect![[r#"
            image: "docker.io/acme/x:1"
            --
            image: "acme/x:1.2"
            --
            image: "ghcr.io/acme/x:1.2"
            --
            image: "acme/x"
            note: its image has no tag: whatever is `latest` runs
            --
            image: "ghcr.io/acme/x:1"
            note: its image says which it is; the version `2` beside it does not count
            note: the image's path `Acme/X` is written in small letters, as registries have it
            --
            image: "docker.io/mcp/x@sha256:d9dc2f44f4f624bdc5fb5817abc74f6244dd40b2d03036380cd6253eff374ae5"
            note: the image `docker.io/mcp/x:sha256:d9dc2f44f4f624bdc5fb5817abc74f6244dd40b2d03036380cd6253eff374ae5` is taken as `docker.io/mcp/x@sha256:d9dc2f44f4f624bdc5fb5817abc74f6244dd40b2d03036380cd6253eff374ae5`
            --
            refused: its package cannot be run: `a b` is not the reference of an image
            --
            refused: its package cannot be run: `--rm` is not the reference of an image
            --
            refused: its package cannot be run: the version `not a tag` of its image is neither a tag nor a digest
        "#]],
    );
}

#[test]
fn npm() {
    check(
        &[
            package(json!({"registryType": "npm", "identifier": "@acme/x", "version": "1.2.3"})),
            package(
                json!({"registryType": "npm", "identifier": "x", "version": "latest", "registryBaseUrl": "https://npm.acme.example/"}),
            ),
            package(
                json!({"registryType": "npm", "identifier": "x", "registryBaseUrl": "https://registry.npmjs.org", "runtimeHint": "bun"}),
            ),
            package(json!({"registryType": "npm", "identifier": "x", "version": "^1.2"})),
            package(json!({"registryType": "npm", "identifier": "x", "version": "1.x"})),
            package(json!({"registryType": "npm", "identifier": "-x"})),
            package(json!({"registryType": "npm", "identifier": "a/b"})),
            package(
                json!({"registryType": "npm", "identifier": "x", "registryBaseUrl": "http://npm.acme.example"}),
            ),
            package(
                json!({"registryType": "npm", "identifier": "x", "fileSha256": "fe333e598595000ae021bd27117db32ec69af6987f507ba7a63c90638ff633ce"}),
            ),
        ],
        &expect![[r#"
            command: ["npx","--yes","@acme/x@1.2.3"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "node:24-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            --
            command: ["npx","--yes","--registry","https://npm.acme.example","x@latest"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "node:24-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            note: the version of its package is `latest`, which may be another one tomorrow
            --
            command: ["npx","--yes","x"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "node:24-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            note: its package has no version: whatever is newest runs
            note: it is meant for `bun` and run with `npx`
            --
            refused: its package cannot be run: the version `^1.2` of its package is a range or no version
            --
            refused: its package cannot be run: the version `1.x` of its package is a range or no version
            --
            refused: its package cannot be run: `-x` is not the name of an npm package
            --
            refused: its package cannot be run: `a/b` is not the name of an npm package
            --
            refused: its package cannot be run: its registry `http://npm.acme.example` is not an https address
            --
            refused: its package cannot be run: it comes with a sha256 that has to be checked, which `npx` cannot
        "#]],
    );
}

#[test]
fn npm_runtime_arguments() {
    check(
        &[
            package(
                json!({"registryType": "npm", "identifier": "x", "version": "1.0.0", "runtimeHint": "npx", "runtimeArguments": [{"type": "positional", "value": "-y"},
                {"type": "named", "name": "--node-options", "value": "--max-old-space-size=512"},
                {"type": "positional", "value": "--package"},
                {"type": "positional", "value": "y@1"}], "packageArguments": [{"type": "positional", "value": "last"}]}),
            ),
            package(
                json!({"registryType": "npm", "identifier": "x", "version": "1.0.0", "runtimeHint": "npx", "runtimeArguments": [{"type": "named", "name": "--project-ref", "format": "string"}], "packageArguments": [{"type": "positional", "value": "last"}]}),
            ),
            package(
                json!({"registryType": "npm", "identifier": "x", "version": "1.0.0", "runtimeHint": "npx", "runtimeArguments": [{"type": "positional", "value": "--yes"},
                {"type": "positional", "value": "x@1.0.0"},
                {"type": "positional", "value": "server"}], "packageArguments": [{"type": "positional", "value": "last"}]}),
            ),
            package(
                json!({"registryType": "npm", "identifier": "x", "version": "1.0.0", "runtimeHint": "npx", "runtimeArguments": [{"type": "named", "name": "-c", "value": "rm -rf ."}], "packageArguments": [{"type": "positional", "value": "last"}]}),
            ),
        ],
        &expect![[r#"
            command: ["npx","--yes","--node-options","--max-old-space-size=512","--package","y@1","x@1.0.0","last"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "node:24-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            note: the runtime argument `-y` has no effect here
            --
            command: ["npx","--yes","x@1.0.0","{{io-github-acme-x.project-ref|option:--project-ref|into}}","last"]
            config.project-ref: {"type":"string"}
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "node:24-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            note: the runtime argument `--project-ref` is none of `npx` and given to the package
            --
            command: ["npx","--yes","x@1.0.0","server","last"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "node:24-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            note: the runtime argument `--yes` has no effect here
            --
            refused: its package cannot be run: its runtime arguments run a shell command, which is not done here
        "#]],
    );
}

#[test]
fn pypi() {
    check(
        &[
            package(json!({"registryType": "pypi", "identifier": "acme-x", "version": "1.2.3"})),
            package(
                json!({"registryType": "pypi", "identifier": "acme-x[cli,web]", "version": "1.2.3", "registryBaseUrl": "https://test.pypi.org"}),
            ),
            package(
                json!({"registryType": "pypi", "identifier": "acme-x", "registryBaseUrl": "https://pypi.acme.example/own/simple/"}),
            ),
            package(
                json!({"registryType": "pypi", "identifier": "acme-x", "version": "latest", "environmentVariables": [{"name": "HOME", "value": "/x"}]}),
            ),
        ],
        &expect![[r#"
            command: ["uvx","--from","acme-x==1.2.3","acme-x"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "ghcr.io/astral-sh/uv:python3.14-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            --
            command: ["uvx","--index-url","https://test.pypi.org/simple","--from","acme-x[cli,web]==1.2.3","acme-x"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "ghcr.io/astral-sh/uv:python3.14-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            --
            command: ["uvx","--index-url","https://pypi.acme.example/own/simple","acme-x"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "ghcr.io/astral-sh/uv:python3.14-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            note: its package has no version: whatever is newest runs
            --
            command: ["uvx","acme-x"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/x"}
            image: "ghcr.io/astral-sh/uv:python3.14-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            note: the version of its package is `latest`, which may be another one tomorrow
        "#]],
    );
}

#[test]
fn pypi_versions_names_and_runtime_arguments() {
    check(
        &[
            package(json!({"registryType": "pypi", "identifier": "acme-x", "version": "auto"})),
            package(json!({"registryType": "pypi", "identifier": "acme-x", "version": ">=1"})),
            package(json!({"registryType": "pypi", "identifier": "git+https://github.com/a/b"})),
            package(
                json!({"registryType": "pypi", "identifier": "acme-x", "version": "1", "runtimeHint": "uvx", "runtimeArguments": [{"type": "named", "name": "--from", "value": "acme[x]==1"},
                {"type": "positional", "value": "serve"},
                {"type": "named", "name": "--python", "value": "3.12"},
                {"type": "named", "name": "--mcp"}]}),
            ),
        ],
        &expect![[r#"
            refused: its package cannot be run: the version `auto` of its PyPI package is not a version
            --
            refused: its package cannot be run: the version `>=1` of its package is a range or no version
            --
            refused: its package cannot be run: `git+https://github.com/a/b` is not the name of a PyPI package
            --
            command: ["uvx","--from","acme[x]==1","--python","3.12","acme-x","serve","--mcp"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "ghcr.io/astral-sh/uv:python3.14-bookworm-slim"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            note: the runtime argument `serve` is none of `uvx` and given to the package
            note: the runtime argument `--mcp` is none of `uvx` and given to the package
        "#]],
    );
}

#[test]
fn containers_that_serve_http() {
    check(
        &[
            package(json!({"transport": {"type": "streamable-http", "url": "http://localhost:3000/mcp"}})),
            package(
                json!({"transport": {"type": "streamable-http", "url": "http://127.0.0.1:{port}/{path}"}, "packageArguments": [{"type": "named", "name": "--port", "format": "number", "default": "8089", "isRequired": true},
                {"type": "positional", "valueHint": "path", "default": "x"}]}),
            ),
            package(
                json!({"transport": {"type": "streamable-http", "url": "http://localhost:{PORT}/mcp"}, "environmentVariables": [{"name": "PORT", "isRequired": true}]}),
            ),
            package(
                json!({"transport": {"type": "streamable-http", "url": "https://example.com:8080/sse"}, "runtimeArguments": [{"type": "named", "name": "-p", "value": "8080:3000"}]}),
            ),
        ],
        &expect![[r#"
            image: "docker.io/acme/x:1"
            path: "/mcp"
            port: 3000
            transport: "streamable-http"
            --
            command: ["--port","8089","x"]
            image: "docker.io/acme/x:1"
            path: "/x"
            port: 8089
            transport: "streamable-http"
            note: `port` is fixed at `8089`: its container has its ports to itself
            note: `path` is fixed at `x`: its container has its ports to itself
            --
            env: {"name":"PORT","value":"8080"}
            image: "docker.io/acme/x:1"
            path: "/mcp"
            port: 8080
            transport: "streamable-http"
            note: `PORT` is fixed at `8080`: its container has its ports to itself
            --
            image: "docker.io/acme/x:1"
            path: "/sse"
            port: 3000
            transport: "streamable-http"
            note: `-p 8080:3000` among its docker arguments has no effect here
            note: its container is spoken to over plain HTTP, where its URL says https
            note: of its URL `https://example.com:8080/sse` only the port and the path count
        "#]],
    );
}

#[test]
fn what_listens_on_localhost_listens_everywhere_in_its_container() {
    check(
        &[package(json!({"transport": {"type": "streamable-http", "url": "http://localhost:3000/mcp"},
            "packageArguments": [{"type": "named", "name": "--host", "value": "localhost"}],
            "environmentVariables": [{"name": "MCP_HOST", "default": "127.0.0.1"}, {"name": "DB_HOST", "default": "localhost"}]}))],
        &expect![[r#"
            command: ["--host","0.0.0.0"]
            config.DB_HOST: {"default":"localhost","type":"string"}
            config.MCP_HOST: {"default":"0.0.0.0","type":"string"}
            env: {"name":"MCP_HOST","value":"{{io-github-acme-x.MCP_HOST}}"}
            env: {"name":"DB_HOST","value":"{{io-github-acme-x.DB_HOST}}"}
            image: "docker.io/acme/x:1"
            path: "/mcp"
            port: 3000
            transport: "streamable-http"
            note: `--host` is `0.0.0.0` instead of `localhost`, which nobody reaches in a container
            note: `MCP_HOST` is `0.0.0.0` instead of `127.0.0.1`, which nobody reaches in a container
        "#]],
    );
}

#[test]
fn containers_that_cannot_be_spoken_to() {
    check(
        &[
            package(json!({"transport": {"type": "streamable-http", "url": "http://{host}/mcp"}})),
            package(json!({"transport": {"type": "streamable-http", "url": "https://example.com/mcp"}})),
            package(
                json!({"registryType": "npm", "identifier": "x", "version": "1.0.0", "transport": {"type": "sse", "url": "http://localhost:1/sse", "headers": [{"name": "X-A"}]}}),
            ),
            package(
                json!({"transport": {"type": "sse", "url": "http://localhost:1/sse", "headers": [{"name": "X-A", "isRequired": true}]}}),
            ),
            package(json!({"transport": {"type": "websocket"}})),
            package(json!({"transport": {"type": "sse"}})),
        ],
        &expect![[r#"
            refused: its package cannot be run: its URL `http://{host}/mcp` needs `host`, which has neither value nor default
            --
            refused: its package cannot be run: its URL `https://example.com/mcp` does not say on which port its container serves
            --
            command: ["npx","--yes","x@1.0.0"]
            deadlines: {"initialize":"3m"}
            env: {"name":"HOME","value":"/var/tmp"}
            image: "node:24-bookworm-slim"
            path: "/sse"
            port: 1
            transport: "sse"
            volumes: ["io-github-acme-x-cache:/var/tmp"]
            note: containers are sent no headers of their own: `X-A` cannot be set
            --
            refused: its package cannot be run: it wants the header `X-A`, and containers are sent none
            --
            refused: its package cannot be run: its transport `websocket` is none of MCP's
            --
            refused: its package cannot be run: its transport is HTTP and it says no URL
        "#]],
    );
}

#[test]
fn what_is_not_run() {
    check(
        &[
            package(json!({"registryType": "mcpb"})),
            package(json!({"registryType": "nuget"})),
            package(json!({"registryType": "cargo"})),
            package(json!({"registryType": "apt"})),
            package(json!({"registryType": ""})),
            package(
                json!({"fileSha256": "fe333e598595000ae021bd27117db32ec69af6987f507ba7a63c90638ff633ce"}),
            ),
            server(json!({})),
        ],
        &expect![[r#"
            refused: its package cannot be run: bundles (mcpb) are not run here: they are programs for this machine, not for a container
            --
            refused: its package cannot be run: packages of NuGet are not run here: no image is set up for `dnx`
            --
            refused: its package cannot be run: packages of crates.io are not run here: they would have to be compiled first
            --
            refused: its package cannot be run: packages of the kind `apt` are not known here
            --
            refused: its package cannot be run: it does not say what kind of package it is
            --
            refused: its package cannot be run: it comes with a sha256 that has to be checked, and an image is no file to check
            --
            refused: it names neither a package nor a remote, so there is nothing to run
        "#]],
    );
}

#[test]
fn the_first_that_can_be_run_is_taken() {
    check(
        &[
            server(json!({"packages": [{"registryType": "npm", "identifier": "x", "version": "1.0.0"},
                {"registryType": "mcpb", "identifier": "https://h/x.mcpb"},
                {"registryType": "oci", "identifier": "a/b:1", "transport": {"type": "sse", "url": "http://localhost:1/"}},
                {"registryType": "oci", "identifier": "a/b:1"}], "remotes": [{"type": "sse", "url": "https://h.example/sse"}, {"type": "streamable-http", "url": "https://h.example/mcp"}]})),
            server(json!({"packages": [{"registryType": "oci", "identifier": "a b"},
                {"registryType": "npm", "identifier": "x", "version": "1.0.0"}], "remotes": [{"type": "sse", "url": "https://h.example/sse"}, {"type": "streamable-http", "url": "https://h.example/mcp"}]})),
            server(json!({"packages": [{"registryType": "oci", "identifier": "a b"},
                {"registryType": "mcpb"}], "remotes": [{"type": "sse", "url": "http://h.example/sse"}]})),
        ],
        &expect![[r#"
            image: "a/b:1"
            note: also offered: oci package `a/b:1` over SSE, remote `https://h.example/mcp`, remote `https://h.example/sse`, npm package `x@1.0.0`, mcpb package `https://h/x.mcpb`
            --
            remote: {"transport_type":"streamable-http","url":"https://h.example/mcp"}
            note: not taken: oci package `a b`: `a b` is not the reference of an image
            note: also offered: remote `https://h.example/sse`, npm package `x@1.0.0`
            --
            refused: its package cannot be run: `a b` is not the reference of an image; its remote cannot be run: its URL `http://h.example/sse` is plain http, which only your own files may name; its package cannot be run: bundles (mcpb) are not run here: they are programs for this machine, not for a container
        "#]],
    );
}

#[test]
fn status() {
    check(
        &[
            json!({"server": server(json!({"packages": [{"registryType": "oci", "identifier": "a:1"}]})), "_meta": {"io.modelcontextprotocol.registry/official": {"status": "active", "statusMessage": "Use y.", "publishedAt": "2026-01-01T00:00:00Z"}}}),
            json!({"server": server(json!({"packages": [{"registryType": "oci", "identifier": "a:1"}]})), "_meta": {"io.modelcontextprotocol.registry/official": {"status": "deprecated", "statusMessage": "Use y.", "publishedAt": "2026-01-01T00:00:00Z"}}}),
            json!({"server": server(json!({"packages": [{"registryType": "oci", "identifier": "a:1"}]})), "_meta": {"io.modelcontextprotocol.registry/official": {"status": "deleted", "statusMessage": "Use y.", "publishedAt": "2026-01-01T00:00:00Z"}}}),
            server(json!({"status": "deleted"})),
        ],
        &expect![[r#"
            image: "a:1"
            --
            image: "a:1"
            note: it is deprecated: Use y.
            --
            refused: it is deleted in the registry: Use y.
            --
            refused: it is deleted in the registry
        "#]],
    );
}

#[test]
fn names() {
    check(
        &[
            server(
                json!({"name": "io.github.Acme/my_x.y", "packages": [{"registryType": "oci", "identifier": "a:1"}]}),
            ),
            server(
                json!({"name": "io.github.acme/a/b", "packages": [{"registryType": "oci", "identifier": "a:1"}]}),
            ),
            server(json!({"name": "acme/../x", "packages": [{"registryType": "oci", "identifier": "a:1"}]})),
            server(json!({"name": "-x/y", "packages": [{"registryType": "oci", "identifier": "a:1"}]})),
            server(
                json!({"name": "a/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "packages": [{"registryType": "oci", "identifier": "a:1"}]}),
            ),
            server(json!({"name": "", "packages": [{"registryType": "oci", "identifier": "a:1"}]})),
        ],
        &expect![[r#"
            image: "a:1"
            --
            refused: its name `io.github.acme/a/b` is not of the form `namespace/name`
            --
            refused: its name `acme/../x` is not of the form `namespace/name`
            --
            refused: its name `-x/y` is not of the form `namespace/name`
            --
            refused: its name has more than 128 characters
            --
            refused: it has no name
        "#]],
    );
}

#[test]
fn members_that_nobody_knows_are_told() {
    check(
        &[server(
            json!({"frobs": 1, "repository": {}, "icons": [{"src": "http://h/a.png"}, {"src": "https://h/b.png"}], "title": "X", "packages": [{"registryType": "oci", "identifier": "a:1", "frobs": 1, "transport": {"type": "stdio", "frobs": null}}]}),
        )],
        &expect![[r#"
            icon: "https://h/b.png"
            image: "a:1"
            title: "X"
            note: `frobs` means nothing here and is passed over
            note: `packages[0].frobs` means nothing here and is passed over
        "#]],
    );
}
