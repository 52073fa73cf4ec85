//! Clients' configurations as people have them, and what becomes of each.

use expect_test::{Expect, expect};

use crate::catalog::{Origin, file};
use crate::document::Source;

/// The documents that come out, and the warnings.
#[track_caller]
fn check(text: &str, expected: Expect) {
    let catalog = file::read(&Source { file: "mcp.json", text }, Origin::File).unwrap();
    assert!(catalog.enable_all, "what a client runs is meant to run");
    let server = |listed: &crate::catalog::Listed| match &listed.entry {
        Ok(_) => format!("{} {}\n", listed.name, listed.document),
        Err(why) => format!("{} refused: {why}\n", listed.name),
    };
    let warnings = catalog.warnings.iter().map(|warning| format!("warning: {warning}\n"));
    expected.assert_eq(&catalog.servers.iter().map(server).chain(warnings).collect::<String>());
}

#[test]
fn claude_desktop_and_cursor() {
    check(
        r#"{"mcpServers": {
          "filesystem": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/srv"]},
          "github": {"command": "npx", "args": ["-y", "gh"], "env": {"GITHUB_TOKEN": "ghp_0123456789abcdef", "MODE": "$5 {x}"}},
          "py": {"command": "uvx", "args": ["mcp-server-git", "--repository", "a b"], "cwd": "/srv/repo"},
          "docs": {"url": "https://mcp.example.com/sse", "headers": {"Authorization": "Bearer ${env:DOCS_TOKEN}"}},
          "My Server": {"type": "streamable-http", "url": "https://h.example/mcp?key=${API_KEY}"},
          "off": {"command": "x", "disabled": true},
          "empty": {"args": []}
        }}"#,
        expect![[r#"
            filesystem {"type":"process","process":{"command":["npx","-y","@modelcontextprotocol/server-filesystem","/srv"]}}
            github {"type":"process","process":{"command":["npx","-y","gh"]},"env":[{"name":"GITHUB_TOKEN","value":"ghp_0123456789abcdef"},{"name":"MODE","value":"$$5 {x}"}]}
            py {"type":"process","process":{"command":["uvx","mcp-server-git","--repository","a b"],"cwd":"/srv/repo"}}
            docs {"type":"remote","remote":{"url":"https://mcp.example.com/sse","transport_type":"sse","headers":{"Authorization":"Bearer ${DOCS_TOKEN}"}},"secrets":[{"name":"DOCS_TOKEN","env":"DOCS_TOKEN"}]}
            My-Server {"type":"remote","remote":{"url":"https://h.example/mcp?key=${API_KEY}","transport_type":"streamable-http","headers":{}},"secrets":[{"name":"API_KEY","env":"API_KEY"}]}
            empty refused: it says neither `command` nor `url`
            warning: server `github`: `env.GITHUB_TOKEN` holds what looks like a secret in plain text: better write `${env:GITHUB_TOKEN}`
            warning: `My Server` is called `My-Server` here
            warning: `off` is left out: it is disabled
        "#]],
    );
}

#[test]
fn vs_code_asks_for_its_inputs() {
    check(
        r#"{
        // What is asked for.
        "inputs": [
            {"type": "promptString", "id": "gh-key", "description": "GitHub token", "password": true},
            {"type": "promptString", "id": "team", "description": "Your team", "default": "core"},
            {"type": "pickString", "id": "level", "options": ["read", {"label": "Write", "value": "write"}]},
        ],
	"servers": {
	  "gh": {"type": "stdio", "command": "gh-mcp", "args": ["--team=${input:team}", "${input:level}"], "env": {"TOKEN": "${input:gh-key}", "URL": "https://x/${input:team}"}},
	  "http": {"type": "http", "url": "https://h/mcp", "headers": {"X-Key": "${input:gh-key}", "X-Home": "${HOME_ID:-none}"}},
	  "here": {"command": "x", "args": ["${workspaceFolder}/a"]}, /* an editor's */
	}}"#,
        expect![[r#"
            gh {"type":"process","process":{"command":["gh-mcp","--team={{gh.team}}","{{gh.level}}"]},"env":[{"name":"URL","value":"https://x/{{gh.team}}"}],"secrets":[{"name":"gh-key","env":"TOKEN","description":"GitHub token"}],"config":[{"name":"gh","description":"What the client's configuration asks for","type":"object","properties":{"team":{"type":"string","description":"Your team","default":"core"},"level":{"type":"string","description":"","enum":["read","write"]}},"required":["level"]}]}
            http {"type":"remote","remote":{"url":"https://h/mcp","transport_type":"streamable-http","headers":{"X-Key":"${INPUT_GH_KEY}","X-Home":"{{http.HOME_ID}}"}},"secrets":[{"name":"gh-key","env":"INPUT_GH_KEY","description":"GitHub token"}],"config":[{"name":"http","description":"What the client's configuration asks for","type":"object","properties":{"HOME_ID":{"type":"string","description":"In place of the variable `HOME_ID`","default":"none"}},"required":[]}]}
            here refused: it uses `${workspaceFolder}`, which only an editor knows: write the path itself
        "#]],
    );
}

#[test]
fn windsurf_and_the_settings_of_vs_code() {
    check(
        r#"{"mcpServers": {"w": {"serverUrl": "https://w.example/mcp"}}}"#,
        expect![[r#"
        w {"type":"remote","remote":{"url":"https://w.example/mcp","transport_type":"streamable-http","headers":{}}}
    "#]],
    );
    check(
        r#"{"editor.fontSize": 12, "mcp": {"inputs": [], "servers": {"s": {"command": "x"}}}}"#,
        expect![[r#"
            s {"type":"process","process":{"command":["x"]}}
        "#]],
    );
}

#[test]
fn docker_run_is_a_container_with_settings() {
    check(
        r#"{"mcpServers": {
          "gh": {"command": "docker", "args": ["run", "-i", "--rm", "-e", "GITHUB_TOKEN", "-e", "MODE=a", "ghcr.io/github/server", "stdio", "--v=$1"], "env": {"GITHUB_TOKEN": "${input:tok}"}},
          "all": {"command": "/usr/bin/docker", "args": ["container", "run", "-it", "--init", "--name=x", "-v", "/srv:/data:ro", "--mount", "type=bind,src=/a,dst=/b,readonly", "-u1000", "-w", "/w",
            "--network", "host", "--entrypoint", "/bin/x", "--cap-add=NET_ADMIN", "--device", "/dev/snd", "--shm-size=1g", "--tmpfs", "/run", "-m", "512m", "--cpus=2", "--add-host", "db:10.0.0.9", "--privileged", "--env=HANDED", "img:1"]},
          "ports": {"command": "docker", "args": ["run", "-p", "8080:8080", "img"]},
          "unknown": {"command": "docker", "args": ["run", "--gpus", "all", "img"]},
          "net": {"command": "docker", "args": ["run", "--network=my-net", "img"]},
          "none": {"command": "docker", "args": ["run", "-i"]},
          "gateway": {"command": "docker", "args": ["mcp", "gateway", "run"]}
        }}"#,
        expect![[r#"
            gh {"type":"server","image":"ghcr.io/github/server","command":["stdio","--v=$$1"],"env":[{"name":"MODE","value":"a"}],"secrets":[{"name":"tok","env":"GITHUB_TOKEN"}]}
            all {"type":"server","volumes":["/srv:/data:ro","/a:/b:ro"],"user":"1000","workdir":"/w","network":"host","entrypoint":["/bin/x"],"capAdd":["NET_ADMIN"],"devices":["/dev/snd"],"shmSize":"1g","tmpfs":["/run"],"memory":"512m","cpus":2.0,"extraHosts":["db:10.0.0.9"],"privileged":true,"image":"img:1","secrets":[{"name":"HANDED","env":"HANDED"}]}
            ports refused: its `docker run` has `-p`, which has no counterpart here: write an entry with `image` instead
            unknown refused: its `docker run` has `--gpus`, which has no counterpart here: write an entry with `image` instead
            net refused: its `docker run` has `--network my-net`, which has no counterpart here: write an entry with `image` instead
            none refused: its `docker run` names no image
            gateway {"type":"process","process":{"command":["docker","mcp","gateway","run"]}}
        "#]],
    );
}

#[test]
fn a_map_of_our_own_entries_is_one_too() {
    let text = "servers: {a: {image: x}, b: {command: [y]}}";
    let catalog = file::read(&Source { file: "c", text }, Origin::File).unwrap();
    let names: Vec<_> =
        catalog.servers.iter().map(|listed| (listed.name.as_str(), listed.entry.is_ok())).collect();
    assert_eq!(names, [("a", true), ("b", true)]);
}
