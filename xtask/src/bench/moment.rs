//! The engine's own time stamps: xtask's own delays do not count.

use std::time::Duration;

use anyhow::Context as _;

/// A moment by the engine's clock, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// Now, by this machine's clock; it is the engine's when that runs here.
    pub(crate) fn now() -> Moment {
        Moment(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default())
    }

    /// Reads RFC 3339 as the engine writes it: UTC, with up to nine digits of a second.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Moment> {
        parse(text).with_context(|| format!("`{text}` is no time in UTC"))
    }

    /// The seconds from another moment to this one; none, if that came later.
    pub(crate) fn seconds_since(self, other: Moment) -> f64 {
        self.0.saturating_sub(other.0).as_secs_f64()
    }
}

fn parse(text: &str) -> Option<Moment> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(time, ':')?;
    let nanoseconds: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let days = days_since_1970(year, month, day)?;
    Some(Moment(Duration::new(days * 86_400 + hour * 3_600 + minute * 60 + second, nanoseconds)))
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let numbers: Vec<u64> = text.split(separator).map(|number| number.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Howard Hinnant's `days_from_civil`, for years from 1970 on.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::Moment;
    use crate::verify::rfc3339;

    #[test]
    fn what_is_written_reads_back() {
        for seconds in [0, 951_782_400, 951_868_799, 1_780_275_661, 4_102_444_800] {
            let moment = Moment::parse(&rfc3339(seconds)).unwrap();
            assert_eq!(moment.0.as_secs(), seconds);
        }
    }

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
        assert_eq!(Moment::parse("yesterday").unwrap_err().to_string(), "`yesterday` is no time in UTC");
        assert!(Moment::parse("2026-13-01T00:00:00Z").is_err());
    }
}
