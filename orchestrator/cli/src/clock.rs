//! Points in time as text, in UTC.

use std::time::{Duration, SystemTime};

/// E.g. `2026-11-23T20:47:10.123456Z`.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let c = Civil::from(time);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        c.year, c.month, c.day, c.hour, c.minute, c.second, c.microsecond
    )
}

/// E.g. `20261123-204710`.
pub(crate) fn compact(time: SystemTime) -> String {
    let c = Civil::from(time);
    format!("{:04}{:02}{:02}-{:02}{:02}{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// The inverse of microseconds since 1970.
pub(crate) fn from_micros(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros.min(MICROS_MAX))
}

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    microsecond: u32,
}

impl From<SystemTime> for Civil {
    /// Clamped to the years 1970 to 9999.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let since = since.min(Duration::from_micros(MICROS_MAX));
        let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Years from March on, so that the leap day is the last: Hinnant's civil_from_days.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: seconds / 3_600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            microsecond: since.subsec_micros(),
        }
    }
}

/// The end of the year 9999.
const MICROS_MAX: u64 = 253_402_300_799_999_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_calendars_get_wrong() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(rfc3339(at(0)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(at(951_782_400)), "2000-02-29T00:00:00.000000Z");
        assert_eq!(rfc3339(at(4_107_542_400)), "2100-03-01T00:00:00.000000Z");
        assert_eq!(compact(at(1_795_466_830)), "20261123-204710");
        assert_eq!(rfc3339(from_micros(u64::MAX)), "9999-12-31T23:59:59.999999Z");
    }
}
