//! What can't be read is refused at its place, whatever it is.

use std::path::Path;

use preheat_api::import::read;
use proptest::prelude::*;

use crate::MANIFESTS;

fn refused(text: &str) -> String {
    match read(text, Path::new("m.yaml")) {
        Ok(all) => panic!("{all:?}"),
        Err(error) => match error.hint() {
            Some(hint) => format!("{error}\nhint: {hint}"),
            None => error.to_string(),
        },
    }
}

const HPA: &str = "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: chat }
spec:
  scaleTargetRef: { kind: Deployment, name: chat }
  maxReplicas: 4
";

#[test]
fn mistakes_are_shown_where_they_are() {
    let table = [
        (
            "maxReplicas: 4",
            "maxReplicas: -1",
            "m.yaml:6:16: `spec.maxReplicas` is -1; it must be a whole number from 0 to 1000000000",
        ),
        (
            "maxReplicas: 4",
            "maxReplicas: 1.5",
            "m.yaml:6:16: `spec.maxReplicas` is 1.5; it must be a whole number",
        ),
        ("maxReplicas: 4", "maxReplicas: .nan", "m.yaml:6:16: non-finite float `.nan` rejected"),
        (
            "maxReplicas: 4",
            "maxReplicas: [4]",
            "m.yaml:6:16: `spec.maxReplicas` is a list; it must be a number",
        ),
        ("maxReplicas: 4", "maxReplicas: 1e300", "m.yaml:6:16: `spec.maxReplicas` is"),
        (
            "maxReplicas: 4",
            "maxReplicas: 20000",
            "m.yaml:1:1: preheat can't do what this asks for: `maxReplicas` is 20000; it must be from 1 to 10000",
        ),
        (
            "maxReplicas: 4",
            "minReplicas: 5\n  maxReplicas: 4",
            "m.yaml:1:1: preheat can't do what this asks for: `minReplicas` is 5; it must be at most maxReplicas, which is 4",
        ),
        ("  maxReplicas: 4", "  minReplicas: 4", "m.yaml:5:3: `spec.maxReplicas` is missing"),
        (
            "{ name: chat }",
            "{ name: \"a\\nb: c\" }",
            "m.yaml:3:19: `metadata.name` is a b: c; it must be at most 253 lower-case letters",
        ),
        (
            "{ name: chat }",
            "chat",
            "m.yaml:3:11: `metadata` is chat; it must be a mapping of keys to values",
        ),
        (
            "kind: Deployment, ",
            "kind: \"D: x\", ",
            "m.yaml:5:27: `spec.scaleTargetRef.kind` is D: x; it must be the name of a kind",
        ),
        (
            "maxReplicas: 4",
            "maxReplicas: 4\n  metrics: [{ type: Sun }]",
            "m.yaml:7:21: `spec.metrics[0].type` is Sun; it must be `Resource`",
        ),
        (
            "maxReplicas: 4",
            "maxReplicas: 4\n  behavior: { scaleDown: { stabilizationWindowSeconds: 7200 } }",
            "`behavior.scaleDown.stabilizationWindow` is 7200s; it must be at most 1h",
        ),
        (
            "maxReplicas: 4",
            "maxReplicas: 4\n  maxReplicas: 5",
            "m.yaml:7:3: duplicate mapping key: maxReplicas",
        ),
        (
            "metadata: { name: chat }",
            "metadata: { name: chat",
            "m.yaml:4:5: while parsing a flow mapping",
        ),
    ];
    for (old, new, expected) in table {
        assert!(HPA.contains(old), "{old}");
        let said = refused(&HPA.replace(old, new));
        assert!(said.contains(expected), "{new}:\n{said}");
    }
}

#[test]
fn what_holds_no_autoscaler_says_what_it_holds() {
    insta::assert_snapshot!(refused(""));
    insta::assert_snapshot!(refused(
        "apiVersion: v1\nkind: Service\n---\napiVersion: apps/v1\nkind: Deployment\n"
    ));
    insta::assert_snapshot!(refused("just a text"));
    insta::assert_snapshot!(refused("- a\n- list\n"));
}

#[test]
fn what_wants_to_be_large_is_refused() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(refused(&deep).starts_with("m.yaml:"), "{}", refused(&deep));
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip("abcdefgh".chars()) {
        let many = vec![format!("*{before}"); 10].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{many}]\n"));
    }
    assert!(refused(&bomb).starts_with("m.yaml:"), "{}", refused(&bomb));
    assert!(refused(&" ".repeat(17 << 20)).contains("larger than 16 MiB"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is cut out of a manifest or put into it, there is an answer.
    #[test]
    fn nothing_panics(
        which in 0..MANIFESTS.len(),
        at in 0.0..1.0_f64,
        length in 0..40_usize,
        put in "[ -~\n]{0,12}",
    ) {
        let (name, text) = MANIFESTS[which];
        let chars: Vec<char> = text.chars().collect();
        let start = (at * chars.len() as f64) as usize;
        let end = (start + length).min(chars.len());
        let before: String = chars[..start].iter().collect();
        let after: String = chars[end..].iter().collect();
        if let Err(error) = read(&format!("{before}{put}{after}"), Path::new(name)) {
            prop_assert!(error.to_string().starts_with(name), "{error}");
        }
    }
}
