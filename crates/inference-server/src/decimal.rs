//! Numbers as TensorFlow Serving writes them: six significant digits where these read back as the
//! same number, else as many as any number of its type needs; always with a point or an exponent.

use std::fmt::{LowerExp, Write as _};

/// Significant digits that are enough, if they are.
const FEW: usize = 6;

/// Writes a number of 32 bits.
pub(crate) fn write_float(to: &mut String, value: f32) {
    write(to, value, f64::from(value), 9);
}

/// Writes a number of 64 bits.
pub(crate) fn write_double(to: &mut String, value: f64) {
    write(to, value, value, 17);
}

/// `value` as the `%g` of C writes it, with six digits or with `most`.
fn write<T: LowerExp>(to: &mut String, value: T, as_double: f64, most: usize) {
    if as_double.is_nan() {
        return to.push_str("NaN");
    }
    if as_double.is_infinite() {
        return to.push_str(if as_double > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
    }
    // The shortest digits that read back as the number. Where these are six or fewer, they are the
    // six-digit form without its zeros: both types tell numbers apart that differ in the sixth.
    let start = to.len();
    let mut precision = FEW;
    _ = write!(to, "{value:e}");
    let digits = |text: &str| {
        text.bytes()
            .take_while(|byte| *byte != b'e')
            .filter(u8::is_ascii_digit)
            .count()
    };
    if digits(&to[start..]) > FEW {
        precision = most;
        to.truncate(start);
        _ = write!(to, "{value:.*e}", most - 1);
    }
    let text = to[start..].to_owned();
    to.truncate(start);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    to.push_str(sign);
    if exponent < -4 || exponent >= precision as i32 {
        let (first, rest) = digits.split_at(1);
        to.push_str(first);
        if !rest.is_empty() {
            to.push('.');
            to.push_str(rest);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        _ = write!(to, "e{sign}{:02}", exponent.unsigned_abs());
    } else if exponent < 0 {
        to.push_str("0.");
        to.extend(std::iter::repeat_n(
            '0',
            exponent.unsigned_abs() as usize - 1,
        ));
        to.push_str(digits);
    } else {
        let point = exponent as usize + 1;
        if digits.len() > point {
            to.push_str(&digits[..point]);
            to.push('.');
            to.push_str(&digits[point..]);
        } else {
            to.push_str(digits);
            to.extend(std::iter::repeat_n('0', point - digits.len()));
            to.push_str(".0");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{write_double, write_float};

    fn float(value: f32) -> String {
        let mut text = String::new();
        write_float(&mut text, value);
        text
    }

    fn double(value: f64) -> String {
        let mut text = String::new();
        write_double(&mut text, value);
        text
    }

    /// What `printf` of the C library prints with `%g`, `%.9g` and `%.17g`, with `.0` where there
    /// is neither point nor exponent.
    #[test]
    fn numbers_are_those_of_printf() {
        for (value, expected) in [
            (0.0f32, "0.0"),
            (-0.0, "-0.0"),
            (3.5, "3.5"),
            (42.0, "42.0"),
            (0.2, "0.2"),
            (1.148_77e-9, "1.14877e-09"),
            (0.014_344, "0.014344"),
            (0.000_1, "0.0001"),
            (0.000_03, "3e-05"),
            (9e6, "9e+06"),
            (123_456.0, "123456.0"),
            (1_234_567.0, "1234567.0"),
            (0.333_333_34, "0.333333343"),
            (16_777_216.0, "16777216.0"),
            (f32::MAX, "3.40282347e+38"),
            (f32::NAN, "NaN"),
            (f32::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float(value), expected);
        }
        for (value, expected) in [
            (0.1, "0.1"),
            (1.0 / 3.0, "0.33333333333333331"),
            (1e6, "1e+06"),
            (1e100, "1e+100"),
            (123_456_789.0, "123456789.0"),
            (1e22 + 1e7, "1.000000000000001e+22"),
        ] {
            assert_eq!(double(value), expected);
        }
    }

    /// Against the definition: the six-digit form counts where it reads back as the number.
    #[test]
    fn every_number_reads_back_and_is_short_where_that_is_enough() {
        let mut bits = 0x9e37_79b9_u32;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f32::from_bits(bits);
            if !value.is_finite() {
                continue;
            }
            let text = float(value);
            assert_eq!(text.parse::<f32>().unwrap().to_bits(), bits, "{text}");
            let six: f32 = format!("{value:.5e}").parse().unwrap();
            let digits = text.split('e').next().unwrap();
            let digits = digits.trim_end_matches(".0").replace(['-', '.'], "");
            let digits = digits.trim_start_matches('0').trim_end_matches('0');
            assert_eq!(digits.len() <= 6, six == value, "{text}");
        }
    }
}
