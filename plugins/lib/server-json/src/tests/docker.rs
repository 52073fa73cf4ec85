//! Arguments of `docker run`.

use expect_test::expect;

use super::*;

#[test]
fn environment() {
    check(
        &[
            run(json!([{"type": "named", "name": "-e", "value": "A=1"},
                {"type": "positional", "value": "-e B=2"},
                {"type": "named", "name": "--env", "value": "K={k}", "variables": {"k": {"isSecret": true, "isRequired": true}}},
                {"type": "named", "name": "--env=C=3"},
                {"type": "positional", "value": "-e"},
                {"type": "positional", "value": "D=4"},
                {"type": "positional", "value": "-eE=5"}])),
            package(json!({"runtimeArguments": [{"type": "named", "name": "-e"},
                {"type": "positional", "value": "TOKEN"},
                {"type": "named", "name": "-e", "value": "HOST", "description": "The host."}], "environmentVariables": [{"name": "TOKEN", "isSecret": true}]})),
        ],
        &expect![[r#"
            env: {"name":"A","value":"1"}
            env: {"name":"B","value":"2"}
            env: {"name":"C","value":"3"}
            env: {"name":"D","value":"4"}
            env: {"name":"E","value":"5"}
            image: "docker.io/acme/x:1"
            secrets: {"env":"K","name":"io-github-acme-x.K","required":true}
            --
            config.HOST: {"description":"The host.","type":"string"}
            env: {"name":"HOST","value":"{{io-github-acme-x.HOST}}"}
            image: "docker.io/acme/x:1"
            secrets: {"env":"TOKEN","name":"io-github-acme-x.TOKEN","required":false}
            note: `-e TOKEN` among its docker arguments has no effect here
        "#]],
    );
}

#[test]
fn volumes() {
    check(
        &[
            run(json!([{"type": "named", "name": "-v", "value": "data:/data"},
                {"type": "named", "name": "--volume", "value": "{dir}:/work:ro", "variables": {"dir": {"format": "filepath", "isRequired": true}}},
                {"type": "positional", "value": "-v=$HOME/.x:/x"},
                {"type": "positional", "value": "--volume=$(pwd):/w"},
                {"type": "named", "name": "-v", "value": "/var/lib/x"}])),
            run(
                json!([{"type": "named", "name": "--mount", "value": "type=bind,src={a},dst={b}", "variables": {"a": {"isRequired": true}, "b": {"default": "/project"}}},
                {"type": "named", "name": "--mount", "value": "type=volume,source=v,target=/v,readonly"},
                {"type": "positional", "value": "--mount type=tmpfs,destination=/run,tmpfs-size=1m"},
                {"type": "named", "name": "--mount", "value": "target=/own"}]),
            ),
            run(
                json!([{"type": "named", "name": "--mount", "value": "type=bind,src=/a,dst=/b,bind-propagation=shared"}]),
            ),
            run(json!([{"type": "named", "name": "--mount", "value": "type=npipe,src=/a,dst=/b"}])),
            run(json!([{"type": "named", "name": "--mount", "value": "type=bind,src=/a"}])),
            run(
                json!([{"type": "named", "name": "-v", "value": "{s}:/x", "variables": {"s": {"isSecret": true}}}]),
            ),
            run(json!([{"type": "named", "name": "-v", "value": "$DATA:/x"}])),
        ],
        &expect![[r#"
            config.dir (required): {"type":"string"}
            image: "docker.io/acme/x:1"
            volumes: ["data:/data","{{io-github-acme-x.dir}}:/work:ro","~/.x:/x",".:/w","io-github-acme-x-var-lib-x:/var/lib/x"]
            --
            config.a (required): {"type":"string"}
            config.b: {"default":"/project","type":"string"}
            image: "docker.io/acme/x:1"
            tmpfs: ["/run"]
            volumes: ["{{io-github-acme-x.a}}:{{io-github-acme-x.b}}","v:/v:ro","io-github-acme-x-own:/own"]
            note: `tmpfs-size` among its docker arguments has no effect here
            --
            refused: its package cannot be run: its docker argument `--mount type=bind,src=/a,dst=/b,bind-propagation=shared` has the option `bind-propagation`, which is not known here
            --
            refused: its package cannot be run: its docker argument `--mount type=npipe,src=/a,dst=/b` is of the type `npipe`, which is not known here
            --
            refused: its package cannot be run: its docker argument `--mount type=bind,src=/a` names no target
            --
            refused: its package cannot be run: its docker argument `-v` holds a secret, which others could read there
            --
            refused: its package cannot be run: its docker argument `-v` holds `{`, `}` or `$`, which cannot be written there
        "#]],
    );
}

#[test]
fn what_needs_consent() {
    check(
        &[run(json!([{"type": "named", "name": "--network", "value": "host"},
                {"type": "named", "name": "--privileged"},
                {"type": "named", "name": "--cap-add", "value": "CAP_NET_ADMIN"},
                {"type": "positional", "value": "--cap-add=sys_ptrace"},
                {"type": "named", "name": "--device", "value": "/dev/snd"}]))],
        &expect![[r#"
            capAdd: ["NET_ADMIN","SYS_PTRACE"]
            devices: ["/dev/snd"]
            image: "docker.io/acme/x:1"
            network: "host"
            privileged: true
        "#]],
    );
}

#[test]
fn other_keys() {
    check(
        &[run(
            json!([{"type": "named", "name": "-u", "value": "{uid}:{gid}", "variables": {"uid": {"default": "1000"}, "gid": {"default": "1000"}}},
                {"type": "named", "name": "--entrypoint", "value": "/bin/x"},
                {"type": "positional", "value": "-w=/work"},
                {"type": "named", "name": "--add-host", "value": "host.docker.internal:host-gateway"},
                {"type": "named", "name": "-m", "value": "{m}", "variables": {"m": {"default": "1g"}}},
                {"type": "named", "name": "--cpus", "value": "1.5"},
                {"type": "named", "name": "--shm-size", "value": "1g"},
                {"type": "named", "name": "--tmpfs", "value": "/run:rw,size=1m"},
                {"type": "named", "name": "--net", "value": "none"}]),
        )],
        &expect![[r#"
            config.gid: {"default":"1000","type":"string"}
            config.uid: {"default":"1000","type":"string"}
            cpus: 1.5
            entrypoint: ["/bin/x"]
            extraHosts: ["host.docker.internal:host-gateway"]
            image: "docker.io/acme/x:1"
            memory: "1g"
            network: "none"
            shmSize: "1g"
            tmpfs: ["/run"]
            user: "{{io-github-acme-x.uid}}:{{io-github-acme-x.gid}}"
            workdir: "/work"
        "#]],
    );
}

#[test]
fn no_effect() {
    check(
        &[run(json!([{"type": "positional", "value": "docker"},
                {"type": "positional", "value": "run"},
                {"type": "positional", "value": "-it"},
                {"type": "named", "name": "--rm"},
                {"type": "named", "name": "-i"},
                {"type": "named", "name": "--init"},
                {"type": "named", "name": "--pull", "value": "always"},
                {"type": "named", "name": "--name", "value": "x"},
                {"type": "named", "name": "-p", "value": "127.0.0.1:80:8080/tcp"},
                {"type": "named", "name": "--privileged", "value": "false"},
                {"type": "named", "name": "--cap-drop", "value": "ALL"},
                {"type": "named", "name": "--security-opt", "value": "no-new-privileges:true"},
                {"type": "named", "name": "--network", "value": "bridge"}]))],
        &expect![[r#"
            image: "docker.io/acme/x:1"
            note: `docker` among its docker arguments has no effect here
            note: `run` among its docker arguments has no effect here
            note: `-it` among its docker arguments has no effect here
            note: `--rm` among its docker arguments has no effect here
            note: `-i` among its docker arguments has no effect here
            note: `--init` among its docker arguments has no effect here
            note: `--pull` among its docker arguments has no effect here
            note: `--name` among its docker arguments has no effect here
            note: `-p 127.0.0.1:80:8080/tcp` among its docker arguments has no effect here
            note: `--privileged` among its docker arguments has no effect here
            note: `--cap-drop` among its docker arguments has no effect here
            note: `--security-opt` among its docker arguments has no effect here
            note: `--network` among its docker arguments has no effect here
        "#]],
    );
}

#[test]
fn what_follows_the_image_is_for_the_server() {
    check(
        &[package(json!({"runtimeArguments": [{"type": "positional", "value": "run"},
                {"type": "named", "name": "--rm"},
                {"type": "positional", "value": "acme/x:2"},
                {"type": "positional", "value": "serve"},
                {"type": "named", "name": "--fast"}], "packageArguments": [{"type": "positional", "value": "last"}]}))],
        &expect![[r#"
            command: ["serve","--fast","last"]
            image: "docker.io/acme/x:1"
            note: `run` among its docker arguments has no effect here
            note: `--rm` among its docker arguments has no effect here
            note: `acme/x:2` among its docker arguments has no effect here
        "#]],
    );
}

#[test]
fn everything_else_is_refused_by_name() {
    check(
        &[
            run(json!([{"type": "named", "name": "--pid", "value": "host"}])),
            run(json!([{"type": "named", "name": "--gpus", "value": "all"}])),
            run(json!([{"type": "named", "name": "--network", "value": "container:db"}])),
            run(
                json!([{"type": "named", "name": "--network", "value": "{net}", "variables": {"net": {"isRequired": true}}}]),
            ),
            run(json!([{"type": "named", "name": "--security-opt", "value": "seccomp=unconfined"}])),
            run(json!([{"type": "named", "name": "-v", "isRequired": true}])),
            run(json!([{"type": "positional", "value": "other/image"}])),
            run(json!([{"type": "named", "name": "--cpus", "value": "many"}])),
            run(json!([{"type": "named", "name": "--env-file", "value": "/x"}])),
        ],
        &expect![[r#"
            refused: its package cannot be run: its docker argument `--pid` is not known here
            --
            refused: its package cannot be run: its docker argument `--gpus` is not known here
            --
            refused: its package cannot be run: its docker argument `--network container:db` is not known here
            --
            refused: its package cannot be run: its docker argument `--network` needs `net`, which nobody can set for it
            --
            refused: its package cannot be run: its docker argument `--security-opt seccomp=unconfined` is not known here
            --
            refused: its package cannot be run: its docker argument `-v` has no value
            --
            refused: its package cannot be run: `other/image` among its docker arguments is neither a flag nor its image
            --
            refused: its package cannot be run: its docker argument `--cpus many` is not known here
            --
            refused: its package cannot be run: its docker argument `--env-file` is not known here
        "#]],
    );
}

#[test]
fn optional_flags_without_a_value_are_left_out() {
    check(
        &[run(json!([{"type": "named", "name": "-v", "description": "A directory."},
                {"type": "positional", "description": "?"}]))],
        &expect![[r#"
            image: "docker.io/acme/x:1"
            note: the optional docker argument `-v` has no value and is left out
            note: an optional docker argument without value is left out
        "#]],
    );
}
