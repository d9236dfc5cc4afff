//! Text that nobody would write.

use std::path::Path;

use preheat_api::config::{EXAMPLE, LocalConfig};

#[test]
fn no_text_makes_the_parser_or_the_error_panic() {
    let render = |text: &str| {
        if let Err(error) = LocalConfig::parse(text, Path::new("x.yaml")) {
            assert!(!error.to_string().is_empty());
            let _ = error.hint();
        }
    };
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for dropped in 0..lines.len() {
        let kept = lines.iter().enumerate().filter(|(index, _)| *index != dropped);
        let kept: Vec<&str> = kept.map(|(_, line)| *line).collect();
        render(&kept.join("\n"));
    }
    for (end, _) in EXAMPLE.char_indices() {
        render(&EXAMPLE[..end]);
    }
}

proptest::proptest! {
    #[test]
    fn no_change_of_the_example_makes_the_parser_or_the_error_panic(
        at in 0..EXAMPLE.len(),
        removed in 0..8_usize,
        inserted in ".{0,6}",
    ) {
        let end = (at + removed).min(EXAMPLE.len());
        let changed = format!("{}{inserted}{}", &EXAMPLE[..at], &EXAMPLE[end..]);
        if let Err(error) = LocalConfig::parse(&changed, Path::new("x.yaml")) {
            assert!(!error.to_string().is_empty());
        }
    }
}
