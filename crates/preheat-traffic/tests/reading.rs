//! Every format as its authors write it, and what is wrong with files that are not.

#![cfg(test)]

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use preheat_traffic::{
    Format, LINE_BYTES_MAX, Note, Recording, Shaping, Traffic, TrafficError, read, read_file,
};
use proptest::prelude::*;

const PLAIN: &str = "arrival_s,input_tokens,output_tokens\n0.000000,374,44\n4.314579,396,109\n";
const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
    2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109\r\n";
const BURST: &str = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
    5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,1087,230,1317,API log\n";
const BURST_SESSIONS: &str = "Timestamp,Session ID,Elapsed time,Model,Request tokens,\
    Response tokens,Total tokens,Log Type\n5,1,0.2,ChatGPT,472,18,490,Conversation log\n";
const MOONCAKE: &str = "{\"timestamp\": 0, \"input_length\": 6758, \"output_length\": 500, \
    \"hash_ids\": [0, 1, 2]}\n\
    {\"timestamp\": 3052, \"input_length\": 7322, \"output_length\": 490, \"hash_ids\": [0]}\n";
const RATES: &str = "start_s,requests\n0,94\n300,0\n600,187.5\n";

fn recording(text: &[u8], format: Option<Format>) -> Result<Recording, TrafficError> {
    read(Path::new("day.csv"), text, format)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Reads `text` and compares (arrival in µs, input, output) of each request.
#[track_caller]
fn check(text: &str, format: Format, expected: &[(u128, u32, u32)]) {
    for bytes in [text.as_bytes().to_vec(), gzip(text)] {
        let found = recording(&bytes, None).unwrap();
        assert_eq!(found, recording(&bytes, Some(format)).unwrap());
        assert_eq!((found.format, found.notes.as_slice()), (format, [].as_slice()));
        let trace = found.into_trace(&Shaping::default()).unwrap();
        let row = |r: &preheat_traffic::TraceRequest| {
            (r.arrival.as_micros(), r.input_tokens, r.output_tokens)
        };
        assert_eq!(trace.requests.iter().map(row).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn every_format() {
    check(PLAIN, Format::Plain, &[(0, 374, 44), (4_314_579, 396, 109)]);
    check(AZURE, Format::Azure, &[(0, 374, 44), (4_314_579, 396, 109)]);
    check(BURST, Format::BurstGpt, &[(5_000_000, 472, 18), (45_000_000, 1087, 230)]);
    check(BURST_SESSIONS, Format::BurstGpt, &[(5_000_000, 472, 18)]);
    check(MOONCAKE, Format::Mooncake, &[(0, 6758, 500), (3_052_000, 7322, 490)]);
}

#[test]
fn a_rate_series() {
    let found = recording(RATES.as_bytes(), None).unwrap();
    let Traffic::Rates(series) = &found.traffic else { panic!("not a rate series") };
    assert_eq!(series.bin, Duration::from_secs(300));
    assert_eq!(series.counts, [94.0, 0.0, 187.5]);
    let trace = found.into_trace(&Shaping::default()).unwrap();
    let counts = trace.counts(Duration::from_secs(300)).unwrap();
    assert_eq!(counts[..2], [94, 0]);
    assert!((187..=188).contains(&counts[2]));
}

#[test]
fn order_blank_lines_and_zero_lengths() {
    let text = "\u{feff}arrival_s, input_tokens, output_tokens\n\n3,10,0\n1,20,2\n2,0,3\n\n4,1,1";
    let found = recording(text.as_bytes(), None).unwrap();
    assert_eq!(
        found.notes,
        [Note::Sorted { rows: 2, first_line: 4 }, Note::RaisedToOne { rows: 2, first_line: 3 },]
    );
    let trace = found.into_trace(&Shaping::default()).unwrap();
    let inputs: Vec<u32> = trace.requests.iter().map(|r| r.input_tokens).collect();
    assert_eq!(inputs, [20, 1, 10, 1]);
}

#[test]
fn what_is_written_can_be_read() {
    let trace = recording(PLAIN.as_bytes(), None).unwrap().into_trace(&Shaping::default()).unwrap();
    let mut written = Vec::new();
    trace.write_csv(&mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), PLAIN);
}

/// Reads a wrong text and compares what is said.
#[track_caller]
fn check_error(text: &str, format: Option<Format>, expected: &str) {
    let error = recording(text.as_bytes(), format).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn errors_name_file_line_and_column() {
    let plain = "arrival_s,input_tokens,output_tokens\n";
    let seconds = "seconds, zero or more";
    for (row, column, found, expected) in [
        ("x,1,1", "arrival_s", "x", seconds),
        ("NaN,1,1", "arrival_s", "NaN", seconds),
        ("-0.5,1,1", "arrival_s", "-0.5", seconds),
        ("inf,1,1", "arrival_s", "inf", seconds),
        ("1e30,1,1", "arrival_s", "1e30", seconds),
        ("0,-1,1", "input_tokens", "-1", "a whole number of tokens, zero or more"),
        ("0,1,1.5", "output_tokens", "1.5", "a whole number of tokens, zero or more"),
        ("0,1,4294967296", "output_tokens", "4294967296", "a whole number of tokens, zero or more"),
    ] {
        let text = format!("{plain}0,1,1\n{row}\n");
        let expected = format!("day.csv:3: {column} is {found:?}, expected {expected}");
        check_error(&text, None, &expected);
    }
    check_error(&format!("{plain}0,1"), None, "day.csv:2: column output_tokens is missing");
    check_error("", None, "day.csv: no requests");
    check_error("\n\n", None, "day.csv: no requests");
    check_error(plain, None, "day.csv: no requests");
    check_error("start_s,requests\n", None, "day.csv: no requests");
    check_error(
        PLAIN,
        Some(Format::Azure),
        "day.csv:1: the header \"arrival_s,input_tokens,output_tokens\" is not that of \
         azure (TIMESTAMP,ContextTokens,GeneratedTokens)",
    );
    let unknown = recording(b"time,tokens\n1,2\n", None).unwrap_err().to_string();
    assert!(Format::ALL.iter().all(|format| unknown.contains(format.header())), "{unknown}");
    check_error(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n12.5,1,1\n",
        None,
        "day.csv:2: TIMESTAMP is \"12.5\", expected a time like 2023-11-16 18:15:46.68",
    );
    check_error("{\"timestamp\": 1}\n", None, "day.csv:1: not a request in JSON");
    check_error(
        "{\"timestamp\": -1, \"input_length\": 1, \"output_length\": 1}",
        None,
        "day.csv:1: timestamp is \"-1\", expected milliseconds, zero or more",
    );
}

#[test]
fn bins_are_even_and_complete() {
    let bins = "start_s,requests\n0,1\n";
    check_error(bins, None, "day.csv: one bin alone does not tell its width");
    check_error(
        &format!("{bins}0,1\n"),
        None,
        "day.csv:3: a bin starts at 0 s, expected after 0 s: bins are even and complete",
    );
    check_error(
        &format!("{bins}300,2\n900,3\n"),
        None,
        "day.csv:4: a bin starts at 900 s, expected at 600 s: bins are even and complete",
    );
    check_error(
        &format!("{bins}300,-2\n"),
        None,
        "day.csv:3: requests is \"-2\", expected a count, zero or more",
    );
}

#[test]
fn a_gzip_file_that_ends_early() {
    let whole = gzip(PLAIN);
    for length in [3, whole.len() / 2, whole.len() - 1] {
        let error = recording(&whole[..length], None).unwrap_err();
        assert!(matches!(error, TrafficError::GzipTruncated { .. }), "{length}: {error}");
    }
}

#[test]
fn lines_are_bounded() {
    let mut text = PLAIN.as_bytes().to_vec();
    text.resize(text.len() + LINE_BYTES_MAX + 1, b'1');
    let error = recording(&text, None).unwrap_err();
    let at_line_4 = matches!(&error, TrafficError::LineTooLong { at, .. } if at.line == 4);
    assert!(at_line_4, "{error}");
    let error = recording(b"arrival_s,input_tokens,output_tokens\n\xff\xfe,1,1\n", None);
    assert!(matches!(error, Err(TrafficError::NotText { .. })));
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.csv.gz");
    std::fs::write(&path, gzip(PLAIN)).unwrap();
    assert_eq!(read_file(&path, None).unwrap().format, Format::Plain);
    let missing = read_file(&folder.path().join("none.csv"), None);
    assert!(matches!(missing, Err(TrafficError::Open { .. })));
}

#[test]
fn formats_by_name() {
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
    }
    assert_eq!(Format::from_name("csv"), None);
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = recording(&bytes, None);
    }

    #[test]
    fn any_rows_give_an_answer(
        header in prop::sample::select(&[PLAIN, AZURE, BURST, MOONCAKE, RATES][..]),
        rows in "[-0-9eE.,:{}\"a-z \n]{0,200}",
    ) {
        if let Ok(found) = recording(format!("{header}{rows}").as_bytes(), None) {
            let _ = found.into_trace(&Shaping::default());
        }
    }
}
