//! Moments as texts.

const DAY_MS: u64 = 86_400_000;

/// Milliseconds since 1970 as RabbitMQ's API writes them: `2026-11-23T13:24:53.000+00:00`.
pub(crate) fn timestamp(ms: u64) -> String {
    format!("{}.{:03}+00:00", to_the_second(ms), ms % 1000)
}

/// Seconds since 1970 as `2026-11-23T13:24:53Z`; what was before counts as 0.
pub fn utc(seconds: i64) -> String {
    format!("{}Z", to_the_second(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
}

fn to_the_second(ms: u64) -> String {
    let (year, month, day) = date(ms / DAY_MS);
    let rest = ms % DAY_MS / 1000;
    let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}")
}

/// The Gregorian date of a day, counted from 1970-01-01. Years are counted from March, so that the leap day is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates() {
        let check = |ms: u64, expected: &str| assert_eq!(timestamp(ms), expected);
        check(0, "1970-01-01T00:00:00.000+00:00");
        check(951_782_400_000, "2000-02-29T00:00:00.000+00:00");
        check(1_709_251_199_999, "2024-02-29T23:59:59.999+00:00");
        check(1_795_440_293_007, "2026-11-23T13:24:53.007+00:00");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000+00:00");
        assert_eq!((utc(1_795_440_293), utc(-1)), ("2026-11-23T13:24:53Z".into(), "1970-01-01T00:00:00Z".into()));
    }
}
