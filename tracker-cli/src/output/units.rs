//! Numbers as people read them: IEC units, thousands separators, seconds.

pub(crate) use tracker_core::report::quantity::{bytes, count};

/// A count and what is counted, `one` with an `s` unless it is one.
pub(crate) fn counted(number: u64, one: &str) -> String {
    let (stem, plural) = match one.strip_suffix("ss") {
        Some(_) => (one, "es"),
        None => (one, "s"),
    };
    format!("{} {stem}{}", count(number), if number == 1 { "" } else { plural })
}

/// `part` of `whole` in per cent with one decimal; what is not nothing never reads as 0.0%.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    match percent {
        p if p > 0.0 && p < 0.05 => "<0.1%".to_owned(),
        p if p >= 99.95 && part < whole => "99.9%".to_owned(),
        p => format!("{p:.1}%"),
    }
}

/// A time span in nanoseconds, three digits or so.
pub(crate) fn duration(ns: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let seconds = ns as f64 / SECOND as f64;
    match ns / SECOND {
        0 if ns == 0 => "0 s".to_owned(),
        // No micro sign: it is not in every terminal's alphabet.
        _ if ns < 1_000_000 => format!("{:.3} ms", ns as f64 / 1e6),
        _ if ns < SECOND => format!("{} ms", ns / 1_000_000),
        0..10 => format!("{seconds:.2} s"),
        10..100 => format!("{seconds:.1} s"),
        whole @ 100..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        whole => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// Behind a number: when it was so, if that is known.
pub(crate) fn after_the_start(at_ns: Option<u64>) -> String {
    at_ns.map_or_else(String::new, |at| format!(", {} after the start", duration(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_iec_units() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_525, "1.0 MiB"),
            (12_897_485, "12.3 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn counts_with_separators() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!(counted(1, "process"), "1 process");
        assert_eq!(counted(2, "process"), "2 processes");
        assert_eq!(counted(0, "block"), "0 blocks");
    }

    #[test]
    fn shares() {
        for (part, whole, text) in [
            (0, 0, "-"),
            (0, 5, "0.0%"),
            (1, 3, "33.3%"),
            (1, 10_000, "<0.1%"),
            (9999, 10_000, "99.9%"),
            (5, 5, "100.0%"),
        ] {
            assert_eq!(percent(part, whole), text);
        }
    }

    #[test]
    fn times() {
        for (ns, text) in [
            (12_000, "0.012 ms"),
            (812_000_000, "812 ms"),
            (1_240_000_000, "1.24 s"),
            (75_300_000_000, "75.3 s"),
            (125_000_000_000, "2 min 05 s"),
            (7_260_000_000_000, "2 h 01 min"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }
}
