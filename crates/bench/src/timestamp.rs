//! Timestamps of the engine, so that delays of this process are not measured.

use anyhow::Context as _;

/// A time by the engine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// Returns the current time of this machine, which is the engine's if the engine runs here.
    pub(crate) fn now() -> Timestamp {
        Timestamp(jiff::Timestamp::now())
    }

    /// Parses a time in the engine's format, RFC 3339.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Timestamp> {
        text.parse().map(Timestamp).with_context(|| format!("`{text}` is not a time"))
    }

    /// Returns the seconds from another time to this one; 0 if the other is later.
    pub(crate) fn seconds_since(self, other: Timestamp) -> f64 {
        self.0.duration_since(other.0).as_secs_f64().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn fractions_may_have_any_number_of_digits() {
        let [long, short, none] =
            ["00.103307949Z", "00.1Z", "00Z"].map(|end| Timestamp::parse(&format!("2026-11-21T02:45:{end}")).unwrap());
        assert_eq!((long.seconds_since(none) * 1e9).round(), 103_307_949.0);
        assert_eq!((short.seconds_since(none) * 1e9).round(), 100_000_000.0);
    }

    #[test]
    fn a_line_before_the_recorded_start_took_no_time() {
        let [line, start] = ["1Z", "2Z"].map(|end| Timestamp::parse(&format!("2026-11-21T02:45:0{end}")).unwrap());
        assert_eq!(line.seconds_since(start), 0.0);
    }

    #[test]
    fn an_invalid_time_is_quoted() {
        assert_eq!(Timestamp::parse("yesterday").unwrap_err().to_string(), "`yesterday` is not a time");
        assert!(Timestamp::parse("2026-13-01T00:00:00Z").is_err());
    }
}
