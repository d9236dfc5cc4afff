//! Lines good and bad, and arbitrary bytes.

use proptest::prelude::*;

use super::*;

const LOADED: &[u8] = include_bytes!("../../fixtures/vllm-0.32.0/loaded.prom");
const ASLEEP: &[u8] = include_bytes!("../../fixtures/vllm-0.32.0/asleep_two_pending.prom");
const LLAMA: &[u8] = include_bytes!("../../fixtures/llama.cpp-loaded.prom");

fn show_labels(labels: Labels<'_>) -> String {
    let pairs: Vec<String> =
        labels.map(|label| format!("{}={:?}", label.name, label.value)).collect();
    pairs.join(",")
}

fn show(line: &Line<'_>) -> String {
    match line {
        Line::Eof => "eof".to_owned(),
        Line::Metadata(Metadata { kind, family, text }) => format!("{kind:?} {family} {text}"),
        Line::Sample(sample) => {
            let mut out =
                format!("{}{{{}}} {}", sample.name, show_labels(sample.labels), sample.value);
            if let Some(timestamp) = sample.timestamp_ms {
                out += &format!(" @{timestamp}");
            }
            if let Some(exemplar) = &sample.exemplar {
                out += &format!(" # {{{}}} {}", show_labels(exemplar.labels), exemplar.value);
                out += &exemplar.timestamp_ms.map_or(String::new(), |at| format!(" @{at}"));
            }
            out
        }
    }
}

#[track_caller]
fn check_as(format: Format, body: &[u8], expected: &[&str], malformed: u32) {
    let mut exposition = Exposition::new(body, format);
    let lines: Vec<String> = exposition.by_ref().map(|line| show(&line)).collect();
    assert_eq!(lines, expected);
    assert_eq!(exposition.malformed(), malformed);

    // The selective reader sees the same samples and the same bad lines when it wants them all.
    let mut selective = Exposition::new(body, format);
    let mut samples = Vec::new();
    while let Some(sample) = selective.next_sample_where(|_| true) {
        samples.push(show(&Line::Sample(sample)));
    }
    let all: Vec<String> = Exposition::new(body, format)
        .filter(|line| matches!(line, Line::Sample(_)))
        .map(|line| show(&line))
        .collect();
    assert_eq!(samples, all);
    assert_eq!(selective.malformed(), malformed);
}

#[track_caller]
fn check(body: &str, expected: &[&str]) {
    check_as(Format::Text, body.as_bytes(), expected, 0);
}

#[track_caller]
fn check_malformed(line: &str) {
    let body = format!("before 1\n{line}\nafter 2\n");
    check_as(Format::Text, body.as_bytes(), &["before{} 1", "after{} 2"], 1);
}

#[test]
fn samples() {
    check("up 1\n", &["up{} 1"]);
    check("up 1", &["up{} 1"]);
    check("up{} 1\n", &["up{} 1"]);
    check("  up { }\t 1  \n\n\n", &["up{} 1"]);
    check("a{b=\"c\"} 1\r\nd{e=\"f\",} 2\r\n", &["a{b=\"c\"} 1", "d{e=\"f\"} 2"]);
    check("a{b=\"c\"}1", &["a{b=\"c\"} 1"]);
    check("a{ b = \"c\" , d=\"\" } +Inf", &["a{b=\"c\",d=\"\"} inf"]);
    check("a 1\na 1\n", &["a{} 1", "a{} 1"]);
    check("a NaN\nb -Inf\nc 1.5e3\n", &["a{} NaN", "b{} -inf", "c{} 1500"]);
    check(
        "vllm:x_total{le=\"0.5\"} 2 1395066363000\n",
        &["vllm:x_total{le=\"0.5\"} 2 @1395066363000"],
    );
    check("a 1 -5", &["a{} 1 @-5"]);
}

#[test]
fn escapes_and_braces_in_values() {
    check(
        r#"a{path="C:\\dir\n\"x\"",b="}{,=",c="\q",d="é"} 1"#,
        &[r#"a{path="C:\\dir\n\"x\"",b="}{,=",c="\\q",d="é"} 1"#],
    );
}

#[test]
fn names_in_quotes() {
    check(r#"{"my.metric", a="b"} 1"#, &[r#"my.metric{a="b"} 1"#]);
    check(r#"{"my.metric"} 1"#, &["my.metric{} 1"]);
    check(r#"{ "a\"b" , "c.d"="e" } 1"#, &[r#"a"b{c.d="e"} 1"#]);
    check("# TYPE \"my.metric\" counter\n", &["Type my.metric counter"]);
}

#[test]
fn metadata_and_comments() {
    check(
        "# HELP a Some text, with \\n in it.\n# TYPE a counter\n# UNIT a seconds\n#\n# said\n#x\n",
        &["Help a Some text, with \\n in it.", "Type a counter", "Unit a seconds"],
    );
    check("# EOF\na 1\n", &["a{} 1"]);
    check_as(Format::Text, b"# HELP a \xff\nb 1\n", &["b{} 1"], 0);
}

#[test]
fn open_metrics() {
    check_as(
        Format::OpenMetrics,
        b"a_bucket{le=\"1\"} 3 # {trace_id=\"x\"} 0.5 123.25\nb 1 1.5\nc 1 # {} 2\n# EOF\nd 1\n",
        &[
            "a_bucket{le=\"1\"} 3 # {trace_id=\"x\"} 0.5 @123250",
            "b{} 1 @1500",
            "c{} 1 # {} 2",
            "eof",
        ],
        0,
    );
    let check_type = |text: Option<&str>, expected| {
        assert_eq!(Format::of_content_type(text.map(str::as_bytes)), expected);
    };
    check_type(Some("application/openmetrics-text; version=1.0.0"), Format::OpenMetrics);
    check_type(Some("text/plain; version=0.0.4; charset=utf-8"), Format::Text);
    check_type(None, Format::Text);
}

#[test]
fn lines_that_cannot_be_read_are_counted_and_skipped() {
    for line in [
        "a",
        "a ",
        "1",
        "1a 2",
        "a{",
        "a{b",
        "a{b}",
        "a{b=} 1",
        "a{b=\"c} 1",
        "a{b=\"c\" 1",
        "a{b=\"c\"d=\"e\"} 1",
        "a{b=\"c\\\"} 1",
        "a{,} 1",
        "a{b=\"c\"}",
        "a one",
        "a 0x10",
        "a 1 2 3",
        "a 1 1.5",
        "a 1 # x",
        "a 1 # {} ",
        "a 1 # {} 1 2 3",
        "{} 1",
        "{a=\"b\"} 1",
        "{\"\"} 1",
        "{\"a\" \"b\"} 1",
        "{\"a\",\"b\"} 1",
        "a{\"b\"} 1",
        "{a=\"b\",\"c\"} 1",
        "é 1",
        "a{é=\"b\"} 1",
        "<html>",
        "{",
        "{\"",
        "}",
        "\"a\" 1",
        "a\u{b}1",
    ] {
        check_malformed(line);
    }
    check_as(Format::Text, b"a{b=\"\xff\"} 1\n\xff 1\na\0b 1\nok 1", &["ok{} 1"], 3);
}

#[test]
fn every_line_of_the_captured_bodies_can_be_read() {
    for (body, samples, families) in [(LOADED, 430, 92), (ASLEEP, 469, 95), (LLAMA, 15, 15)] {
        let mut exposition = Exposition::new(body, Format::Text);
        let lines: Vec<Line<'_>> = exposition.by_ref().collect();
        assert_eq!(exposition.malformed(), 0);
        let text = std::str::from_utf8(body).unwrap();
        let is_sample = |line: &&Line<'_>| matches!(line, Line::Sample(_));
        assert_eq!(lines.iter().filter(is_sample).count(), samples);
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), samples);
        let is_type = |line: &&Line<'_>| {
            matches!(line, Line::Metadata(Metadata { kind: MetadataKind::Type, .. }))
        };
        assert_eq!(lines.iter().filter(is_type).count(), families);
    }
}

/// Reads everything there is to read of a body, lazily parsed labels included.
fn read_all(body: &[u8], format: Format) {
    for line in Exposition::new(body, format) {
        show(&line);
    }
    let mut exposition = Exposition::new(body, format);
    while exposition.next_sample_where(|name| name.len() % 2 == 0).is_some() {}
}

fn any_format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Text), Just(Format::OpenMetrics)]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>, format in any_format()) {
        read_all(&body, format);
    }

    #[test]
    fn no_likely_bytes_make_it_panic(
        body in r#"([a-c]|"|\\|\{|\}|,|=|#| |\n|1|\.|e|# TYPE |é){0,80}"#,
        format in any_format(),
    ) {
        read_all(body.as_bytes(), format);
    }

    #[test]
    fn no_mutation_of_a_real_body_makes_it_panic_or_lose_other_lines(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut: prop::sample::Index,
    ) {
        let mut body = LOADED[..40_000].to_vec();
        for (at, byte) in &edits {
            *at.get_mut(body.as_mut_slice()) = *byte;
        }
        read_all(&body, Format::Text);
        let samples = |body: &[u8]| {
            Exposition::new(body, Format::Text)
                .filter(|line| matches!(line, Line::Sample(_)))
                .count()
        };
        // An edit spoils its own line and, as a line end overwritten, the next one at most.
        prop_assert!(samples(&body) + 2 * edits.len() >= samples(&LOADED[..40_000]));
        read_all(&body[..cut.index(body.len())], Format::OpenMetrics);
    }

    #[test]
    fn labels_survive_escaping(value in r#"([a-z]|"|\\|\n|é|\}){0,20}"#) {
        let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        let body = format!("a{{b=\"{escaped}\"}} 1\n");
        let line = Exposition::new(body.as_bytes(), Format::Text).next();
        let Some(Line::Sample(sample)) = line else { panic!("{body}") };
        let read = sample.labels.get("b");
        prop_assert_eq!(read.as_deref(), Some(value.as_str()));
    }
}
