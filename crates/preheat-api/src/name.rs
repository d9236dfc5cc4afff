//! Names of pools and schedules: they go into file names, metric labels and URLs.

/// Whether it is 1 to 63 letters, digits, `-`, `.` or `_`, a letter or digit first.
pub(crate) fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    name.len() <= 63
        && name.bytes().all(inner)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}
