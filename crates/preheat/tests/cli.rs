//! What the command says, and how it ends, when it can't do what it was asked to.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows logs"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
mod common;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::process::Stdio;

use common::{Ran, Stage, eventually};

/// What a run that could not run says.
fn refused(stage: &Stage, arguments: &[&str]) -> String {
    let ran = stage.run(arguments);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    let folder = format!("{}/", stage.path("").display());
    ran.stderr.replace(folder.trim_end_matches('/'), "[folder]")
}

/// What `preheat up` says of this configuration.
fn misconfigured(yaml: &str) -> String {
    let stage = Stage::new();
    let file = stage.file("preheat.yaml", yaml);
    let said = refused(&stage, &["up", &file]);
    assert_eq!(refused(&stage, &["up", "--check", &file]), said);
    said
}

#[test]
fn malformed_yaml_is_shown_where_it_is() {
    insta::assert_snapshot!(misconfigured("pools:\n- name: \"p\n  modelName: m\n"), @r#"
    error: [folder]/preheat.yaml:2:9: unclosed quote
      |
    2 | - name: "p
      |         ^
    "#);
    insta::assert_snapshot!(misconfigured("pools: ["), @r"
    error: [folder]/preheat.yaml:1:8: unclosed bracket '['
      |
    1 | pools: [
      |        ^
    ");
}

#[test]
fn an_unknown_key_is_shown_with_the_one_that_was_meant() {
    let yaml = "pools:\n- {name: p, modelName: m, minReplica: 3, engine: {ports: 18000-18009}}\n";
    let said = misconfigured(yaml);
    assert!(said.contains(":2:27: unknown field `minReplica`, expected one of"), "{said}");
    assert!(said.contains("minReplica: 3, engine: {ports"), "{said}");
    assert!(said.ends_with("\nhint: did you mean `minReplicas`?\n"), "{said}");
}

#[test]
fn contradictory_bounds_are_shown_where_they_are() {
    let yaml = "pools:\n- name: p\n  modelName: m\n  minReplicas: 3\n  maxReplicas: 2\n  \
                engine: {ports: 18000-18009}\n";
    insta::assert_snapshot!(misconfigured(yaml), @r"
    error: [folder]/preheat.yaml:4:16: `minReplicas` is 3; it must be at most maxReplicas, which is 2
      |
    4 |   minReplicas: 3
      |                ^
    ");
}

#[test]
fn an_unknown_profile_is_refused_with_those_there_are() {
    let stage = Stage::new();
    let of_pool = misconfigured(&stage.config(1.0, "maxReplicas: 1", "emulated: {profile: x}"));
    assert!(of_pool.starts_with("error: pool chat can't be run\n"), "{of_pool}");
    let of_engine = refused(&stage, &["engine", "--model", "m", "--profile", "x"]);
    for said in [of_pool, of_engine] {
        assert!(said.contains("unknown engine profile \"x\""), "{said}");
        assert!(said.contains("qwen-27b-fp8-h100"), "{said}");
    }
}

#[test]
fn a_configuration_that_is_fine_is_said_to_be() {
    let stage = Stage::new();
    let file = stage.file("preheat.yaml", stage.config(1.0, "maxReplicas: 1", "emulated: {}"));
    let ran = stage.run(&["up", "--check", &file]);
    assert_eq!((ran.code, ran.stdout), (Some(0), format!("{file} is fine\n")));
    assert!(!stage.state().exists());
}

#[test]
fn a_configuration_that_is_not_there_is_asked_for() {
    insta::assert_snapshot!(refused(&Stage::new(), &["up", "absent.yaml"]), @r"
    error: absent.yaml: can't be read: No such file or directory (os error 2)

    hint: pass the path of a configuration file, as in `preheat up preheat.yaml`
    ");
}

#[test]
fn a_port_in_use_is_named_with_its_key() {
    let stage = Stage::new();
    let file = stage.file("preheat.yaml", stage.config(1.0, "maxReplicas: 1", "emulated: {}"));
    for (address, key) in [(stage.gateway(), "gateway.listen"), (stage.admin(), "admin.listen")] {
        let _taken = TcpListener::bind(address).expect("a port of this test");
        let said = refused(&stage, &["up", &file]);
        let expected = format!(
            "error: can't listen on {address}: Address already in use (os error 98)\n\n\
             hint: something else listens there; stop it, or choose another port with `{key}`\n"
        );
        assert_eq!(said, expected);
        assert!(stage.processes().is_empty());
    }
}

#[test]
fn a_trace_that_is_none_is_refused() {
    let stage = Stage::new();
    insta::assert_snapshot!(refused(&stage, &["load", "--model", "m", "--trace", "x"]), @r#"
    error: there is no trace "x"

    hint: give a file, or an embedded trace: azure-conversation, azure-code, azure-mix
    "#);
    let said = refused(&stage, &["demo", "--trace", "x"]);
    assert!(said.contains("there is no trace \"x\""), "{said}");
    let file = stage.file("trace.csv", "when,what\n1,2\n");
    let said = refused(&stage, &["load", "--model", "m", "--trace", &file]);
    assert!(said.contains("trace.csv:1: the header \"when,what\" is not that of plain"), "{said}");
    for trace in ["azure-code", &file] {
        let arguments = ["load", "--model", "m", "--trace", trace, "--format", "x"];
        let said = refused(&stage, &arguments);
        assert!(said.starts_with("error: there is no trace format \"x\"\n"), "{said}");
    }
}

#[test]
fn a_bad_duration_is_refused() {
    let stage = Stage::new();
    let arguments = ["load", "--model", "m", "--trace", "azure-code", "--from", "5parsecs"];
    insta::assert_snapshot!(refused(&stage, &arguments), @r"
    error: invalid value '5parsecs' for '--from <FROM>': `5parsecs` is no duration: `parsecs` is no unit; use d, h, m, s or ms

    For more information, try '--help'.
    ");
    let said = refused(&stage, &["demo", "--duration", "long"]);
    assert!(said.contains("'long' for '--duration <DURATION>': `long` is no duration"), "{said}");
}

#[test]
fn a_missing_or_damaged_journal_is_told() {
    let stage = Stage::new();
    for command in [&["replay", "absent"][..], &["why", "--journal", "absent"]] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused(&stage, command), @r"
            error: there is no journal at `absent`

            hint: a journal is written by `preheat up`; `stateDir` in its configuration says where
            ");
        }
    }
    stage.file(
        "damaged.db",
        "no database, though it is as long as a header of one would have to be",
    );
    for command in [&["replay", "damaged.db"][..], &["why", "--journal", "damaged.db"]] {
        let said = refused(&stage, command);
        assert!(said.starts_with("error: the journal `damaged.db` is damaged\n"), "{said}");
        assert!(said.contains("\nhint: keep it for a look"), "{said}");
    }
}

#[test]
fn a_status_of_nobody_says_where_it_looked() {
    let stage = Stage::new();
    let said = refused(&stage, &["status", "--admin", &stage.admin().to_string()]);
    let expected = format!("error: no preheat answers at {}: can't be reached", stage.admin());
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.contains("\nhint: is `preheat up` running?"), "{said}");
}

#[test]
fn the_definition_is_what_deploy_has() {
    let ran = Stage::new().run(&["crd"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/crd.yaml");
    let kept = fs::read_to_string(path).expect("it is there");
    assert!(kept.ends_with(&ran.stdout), "{}", ran.stdout);
}

#[test]
fn a_cluster_that_is_not_there_is_told() {
    let stage = Stage::new();
    let state = stage.path("state").display().to_string();
    let controller = |kubeconfig: &str| {
        let admin = "127.0.0.1:0";
        refused(
            &stage,
            &["controller", "--kubeconfig", kubeconfig, "--state-dir", &state, "--admin", admin],
        )
    };
    let said = controller(&stage.path("none").display().to_string());
    assert!(said.contains("error: no cluster is known: "), "{said}");
    assert!(said.contains("\nhint: name a file with --kubeconfig or KUBECONFIG"), "{said}");
    let nobody = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let address = nobody.local_addr().expect("it has one");
    drop(nobody);
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: \"http://{address}\"}}}}]\n\
         users: [{{name: c, user: {{}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: c}}}}]\n"
    );
    let said = controller(&stage.file("kubeconfig", &kubeconfig));
    assert!(said.contains("error: the cluster can't be reached: "), "{said}");
    assert!(said.contains("kubectl get --raw /version"), "{said}");
}

#[test]
fn usage_goes_to_where_it_was_asked_for() {
    let stage = Stage::new();
    let none: [&str; 0] = [];
    let said = refused(&stage, &none);
    assert!(said.contains("Usage: preheat <COMMAND>"), "{said}");
    assert!(refused(&stage, &["dance"]).contains("unrecognized subcommand 'dance'"));
    let ran = stage.run(&["--version"]);
    let version = format!("preheat {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((ran.code, ran.stdout, ran.stderr), (Some(0), version, String::new()));
    for shell in ["bash", "zsh", "fish"] {
        let ran = stage.run(&["completions", shell]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert!(ran.stdout.contains("preheat"), "{shell}");
    }
}

/// A reader that leaves early, as `head` does, is no error.
#[test]
fn a_closed_stdout_ends_it_quietly() {
    let stage = Stage::new();
    let file = stage.file("preheat.yaml", stage.config(1.0, "maxReplicas: 1", "emulated: {}"));
    for arguments in [
        &["completions", "bash"][..],
        &["reference", "cli"],
        &["--help"],
        &["up", "--check", &file],
    ] {
        let mut command = stage.command(arguments);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let mut said = String::new();
        let mut stderr = child.stderr.take().expect("it is piped");
        stderr.read_to_string(&mut said).expect("it is UTF-8");
        let status = child.wait().expect("a child of ours");
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_second_preheat_on_one_state_directory_is_refused() {
    let stage = Stage::new();
    let config = stage.config(50.0, "minReplicas: 0, maxReplicas: 1", "emulated: {}");
    let mut first = stage.up(&config);
    stage.fleet().await;
    let other = Stage::new();
    let config = other.config(50.0, "maxReplicas: 1", "emulated: {}");
    let shared =
        config.replace(&other.state().display().to_string(), &stage.state().display().to_string());
    let file = other.file("preheat.yaml", shared);
    let said = refused(&other, &["up", &file]);
    let expected =
        format!("error: another preheat (pid {}) uses this state directory", first.pid());
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.contains("\nhint: stop it first, or give this one another directory"), "{said}");
    assert!(first.terminate().await.success());
}

#[tokio::test]
async fn a_command_that_is_not_there_is_shown_while_preheat_stays_up() {
    let stage = Stage::new();
    let engine = "command: [/nonexistent/engine, '{port}']";
    let mut up = stage.up(&stage.config(50.0, "maxReplicas: 1", engine));
    let admin = stage.admin().to_string();
    let shown = async || -> Option<Ran> {
        let ran = stage.run(&["status", "--admin", &admin]);
        // The tick that counts it as starting comes a moment later.
        let seen = ran.stdout.contains("restarts") && ran.stdout.contains("starting 1");
        seen.then_some(ran)
    };
    let ran = eventually("a restart in the status", shown).await;
    assert!(ran.stdout.contains("command not found: `/nonexistent/engine`"), "{ran:?}");
    assert!(ran.stdout.starts_with("chat       ready 0/1  starting 1"), "{ran:?}");
    assert!(up.runs());
    assert!(up.terminate().await.success());
    let replicas = fs::read_dir(stage.state().join("replicas"));
    assert_eq!(replicas.map_or(0, Iterator::count), 0);
}
