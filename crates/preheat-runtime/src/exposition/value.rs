//! Numbers of the exposition formats.
//!
//! **Invariant:** the short way and the standard library agree to the bit.

/// Powers of ten that an `f64` holds exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Digits that never overflow a `u64`.
const DIGITS_MAX: usize = 19;

/// Whole numbers up to here are exact in an `f64`.
const MANTISSA_MAX: u64 = 1 << 53;

/// A decimal, `NaN`, or an infinity. `None` for everything else; hexadecimal, digit separators and
/// trailing text included.
pub(super) fn parse(token: &[u8]) -> Option<f64> {
    short_decimal(token).or_else(|| any_number(token))
}

/// Whole milliseconds.
pub(super) fn parse_millis(token: &[u8]) -> Option<i64> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// Seconds with a fraction, in milliseconds. `None` when they aren't finite.
pub(super) fn parse_seconds_as_millis(token: &[u8]) -> Option<i64> {
    let millis = parse(token)? * 1e3;
    // Saturates far outside of any real time.
    millis.is_finite().then(|| millis.round() as i64)
}

/// Few digits and a small exponent: mantissa and power of ten are both exact, so one multiplication
/// or division rounds once, and correctly. `2097152.0` is 20971520 ÷ 10¹.
fn short_decimal(token: &[u8]) -> Option<f64> {
    let (negative, unsigned) = match token {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, token),
    };
    let mut mantissa = 0_u64;
    let mut digits = 0_usize;
    let mut digits_before_point = None;
    let mut exponent = 0_i32;
    for (at, &byte) in unsigned.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits += 1;
        } else if byte == b'.' && digits_before_point.is_none() {
            digits_before_point = Some(digits);
        } else if byte | 0x20 == b'e' {
            exponent = short_exponent(&unsigned[at + 1..])?;
            break;
        } else {
            return None;
        }
    }
    if digits == 0 || digits > DIGITS_MAX || mantissa > MANTISSA_MAX {
        return None;
    }
    let digits_after_point = digits - digits_before_point.unwrap_or(digits);
    let power = exponent - i32::try_from(digits_after_point).ok()?;
    let scale = *POWERS_OF_TEN.get(usize::try_from(power.unsigned_abs()).ok()?)?;
    let exact = mantissa as f64;
    let magnitude = if power < 0 { exact / scale } else { exact * scale };
    Some(if negative { -magnitude } else { magnitude })
}

/// One or two digits after `e`; longer ones are out of the short way's range anyway.
fn short_exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i32::from(byte - b'0'));
    let exponent = match *digits {
        [ones] => digit(ones)?,
        [tens, ones] => digit(tens)? * 10 + digit(ones)?,
        _ => return None,
    };
    Some(if negative { -exponent } else { exponent })
}

fn any_number(token: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(token).ok()?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let word = unsigned.starts_with(|c: char| c.is_ascii_alphabetic());
    let known = ["nan", "inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
    if word && !known {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(token: &str, expected: Option<f64>) {
        let bits = |value: Option<f64>| value.map(f64::to_bits);
        assert_eq!(bits(parse(token.as_bytes())), bits(expected), "{token}");
    }

    #[test]
    fn numbers_as_engines_write_them() {
        check("0.0", Some(0.0));
        check("-0", Some(-0.0));
        check("2097152.0", Some(2_097_152.0));
        check("1.7955018200080318e+09", Some(1_795_501_820.008_031_8));
        check("0.0009766221082829762", Some(0.000_976_622_108_282_976_2));
        check("1e22", Some(1e22));
        check("1E-7", Some(1e-7));
        check(".5", Some(0.5));
        check("5.", Some(5.0));
        check("+Inf", Some(f64::INFINITY));
        check("-Inf", Some(f64::NEG_INFINITY));
        check("inf", Some(f64::INFINITY));
        check("NaN", Some(f64::NAN));
        check("1e400", Some(f64::INFINITY));
        check("9007199254740993", Some(9_007_199_254_740_992.0));
    }

    #[test]
    fn what_is_no_number() {
        for token in ["", ".", "-", "+", "e5", "1e", "1e+", "0x10", "1_000", "1,5", "1.2.3", "--1"]
        {
            check(token, None);
        }
        for token in ["infinit", "nano", "1.0f", "١"] {
            check(token, None);
        }
    }

    #[test]
    fn timestamps() {
        assert_eq!(parse_millis(b"1395066363000"), Some(1_395_066_363_000));
        assert_eq!(parse_millis(b"1.5"), None);
        assert_eq!(parse_seconds_as_millis(b"1395066363.25"), Some(1_395_066_363_250));
        assert_eq!(parse_seconds_as_millis(b"NaN"), None);
    }

    proptest! {
        #[test]
        fn agrees_with_the_standard_library(text in r"[+-]?[0-9]{0,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?") {
            let ours = parse(text.as_bytes()).map(f64::to_bits);
            prop_assert_eq!(ours, text.parse::<f64>().ok().map(f64::to_bits));
        }

        #[test]
        fn reads_back_what_was_printed(value: f64) {
            let printed = format!("{value:?}");
            let read = parse(printed.as_bytes());
            prop_assert_eq!(read.map(f64::to_bits), Some(printed.parse::<f64>().unwrap().to_bits()));
        }
    }
}
