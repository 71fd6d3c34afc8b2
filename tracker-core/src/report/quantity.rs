//! Numbers as people write and read them: `_` between digits, IEC units, thousands separators.

/// Reads a whole number with `_` between digits; `None` when it is none.
pub fn whole(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let digits = digits && text.starts_with(|first: char| first.is_ascii_digit());
    if digits { text.replace('_', "").parse().ok() } else { None }
}

/// Reads a size in bytes with an optional unit; case does not matter, `MiB` is 1024² and `MB` 1000² bytes.
///
/// `None` when it is none, or more than a u64 holds.
pub fn size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("", 1),
        ("b", 1),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
    ];
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.to_ascii_lowercase();
    let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    scaled(number.trim_end(), factor)
}

/// Reads `text`, a decimal number with `_` between digits, times `factor`, rounded down.
pub fn scaled(text: &str, factor: u64) -> Option<u64> {
    let (integer, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let mut value = u128::from(whole(integer)?) * u128::from(factor);
    if !fraction.is_empty() {
        // More digits than these cannot change a size by a byte.
        let digits = fraction.get(..fraction.len().min(15))?;
        let scale = 10u128.pow(u32::try_from(digits.len()).ok()?);
        value += u128::from(whole(digits)?) * u128::from(factor) / scale;
    }
    u64::try_from(value).ok()
}

/// Bytes: exact below 1 KiB, else one decimal.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS.get(unit).unwrap_or(&"EiB"))
}

/// A count with thousands separators.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("256MiB", Some(256 << 20)),
            ("1.5GiB", Some(3 << 29)),
            ("1.5 kB", Some(1500)),
            ("10mb", Some(10_000_000)),
            ("0", Some(0)),
            ("12B", Some(12)),
            ("2_000_000", Some(2_000_000)),
            ("0.000000000000000001TiB", Some(0)),
            ("16777215TiB", Some(16_777_215 << 40)),
            ("99999999999TiB", None),
            ("-1", None),
            ("1.2.3MiB", None),
            ("lots", None),
            ("", None),
            ("_1", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}
