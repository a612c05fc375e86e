//! Times in output and reports.

use std::time::Duration;

use jiff::Timestamp;

/// Formats seconds since 1970 as a date and time in UTC.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    timestamp.unwrap_or(Timestamp::MAX).to_string()
}

/// Returns the time since 1970 of a date and time with a zone; `None` for other text and earlier times.
#[must_use]
pub fn since_1970(rfc3339: &str) -> Option<Duration> {
    let timestamp: Timestamp = rfc3339.parse().ok()?;
    timestamp.as_duration().try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{rfc3339, since_1970};

    #[test]
    fn seconds_become_a_date_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_780_272_000 + 3_661), "2026-06-01T01:01:01Z");
    }
    #[test]
    fn the_engines_times_have_nanoseconds() {
        assert_eq!(since_1970("1970-01-01T00:00:02.000000007Z"), Some(Duration::new(2, 7)));
        assert_eq!(since_1970("yesterday"), None);
    }
}
