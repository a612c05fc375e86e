//! The engine's own time stamps: xtask's own delays do not count.

use anyhow::Context as _;
use jiff::Timestamp;

/// A moment by the engine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Timestamp);

impl Moment {
    /// Now, by this machine's clock; it is the engine's when that runs here.
    pub(crate) fn now() -> Moment {
        Moment(Timestamp::now())
    }

    /// Reads RFC 3339, as the engine writes it.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Moment> {
        text.parse().map(Moment).with_context(|| format!("`{text}` is no time"))
    }

    /// The seconds from another moment to this one; none, if that came later.
    pub(crate) fn seconds_since(self, other: Moment) -> f64 {
        self.0.duration_since(other.0).as_secs_f64().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn fractions_have_any_number_of_digits_and_zeros_at_the_end_may_be_missing() {
        let [long, short, none] =
            ["00.103307949Z", "00.1Z", "00Z"].map(|end| Moment::parse(&format!("2026-11-21T02:45:{end}")).unwrap());
        assert_eq!((long.seconds_since(none) * 1e9).round(), 103_307_949.0);
        assert_eq!((short.seconds_since(none) * 1e9).round(), 100_000_000.0);
    }

    #[test]
    fn a_line_that_came_before_the_engine_noted_the_start_took_no_time() {
        let [line, start] = ["1Z", "2Z"].map(|end| Moment::parse(&format!("2026-11-21T02:45:0{end}")).unwrap());
        assert_eq!(line.seconds_since(start), 0.0);
    }

    #[test]
    fn what_is_no_time_is_quoted() {
        assert_eq!(Moment::parse("yesterday").unwrap_err().to_string(), "`yesterday` is no time");
        assert!(Moment::parse("2026-13-01T00:00:00Z").is_err());
    }
}
