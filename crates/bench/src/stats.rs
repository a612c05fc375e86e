//! Statistics of repeated measurements: median and spread.

use serde::{Deserialize, Serialize, Serializer};

/// Measurements of one metric, in order. Not empty in a report.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Values")]
pub(crate) struct Measurements(Vec<f64>);

/// The part of a serialized sample from which the rest is derived.
#[derive(Deserialize)]
struct Values {
    values: Vec<f64>,
}

impl From<Values> for Measurements {
    fn from(Values { values }: Values) -> Self {
        Measurements(values)
    }
}

impl Measurements {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the median; of an even number of values, the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    pub(crate) fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// Returns a quantile (`part` from 0 to 1) with linear interpolation; NaN without values.
    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let place = part * last as f64;
        // The casts are safe: `place` is between 0 and `last`.
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
    }
}

impl FromIterator<f64> for Measurements {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Measurements(values.into_iter().collect())
    }
}

impl Serialize for Measurements {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct MeasurementsForm<'a> {
            median: f64,
            min: f64,
            max: f64,
            first_quartile: f64,
            third_quartile: f64,
            values: &'a [f64],
        }
        MeasurementsForm {
            median: self.median(),
            min: self.min(),
            max: self.max(),
            first_quartile: self.quantile(0.25),
            third_quartile: self.quantile(0.75),
            values: &self.0,
        }
        .serialize(serializer)
    }
}

/// Unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    Count,
}

impl Unit {
    /// Formats a value with three significant digits in a suitable unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Seconds if value >= 1.0 => format!("{} s", digits(value)),
            Unit::Seconds => format!("{} ms", digits(value * 1e3)),
            Unit::Bytes => format!("{} MB", digits(value / 1e6)),
            Unit::Count => digits(value),
        }
    }

    /// Formats the median, with minimum and maximum if they differ: `1.20 s (1.10 s – 1.35 s)`.
    pub(crate) fn show_sample(self, sample: &Measurements) -> String {
        let [median, min, max] = [sample.median(), sample.min(), sample.max()].map(|value| self.show(value));
        if min == median && max == median { median } else { format!("{median} ({min} – {max})") }
    }
}

/// Formats a number with three significant digits, or a whole number without a decimal point.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Formats a ratio: `0.33×`, `1.50×`, `420×`, `0.0019×`.
pub(crate) fn show_ratio(ratio: f64) -> String {
    if ratio > 0.0 && ratio < 0.01 { format!("{ratio:.4}×") } else { format!("{}×", digits(ratio)) }
}

#[cfg(test)]
mod tests {
    use super::{Measurements, Unit, show_ratio};

    fn sample(values: &[f64]) -> Measurements {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(sample(&[9.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(sample(&[4.0, 1.0, 2.0, 9.0]).median(), 3.0);
        assert_eq!(sample(&[5.0]).median(), 5.0);
    }

    #[test]
    fn an_outlier_changes_the_spread_but_not_the_median() {
        let sample = sample(&[1.0, 1.0, 1.0, 1.0, 100.0]);
        assert_eq!((sample.median(), sample.min(), sample.max()), (1.0, 1.0, 100.0));
    }

    #[test]
    fn quartiles_are_interpolated_between_neighbours() {
        let json = serde_json::to_value(sample(&[1.0, 2.0, 3.0, 4.0])).unwrap();
        assert_eq!((json["first_quartile"].as_f64(), json["third_quartile"].as_f64()), (Some(1.75), Some(3.25)));
        assert_eq!(json["values"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn values_are_shown_with_three_digits_in_a_suitable_unit() {
        let shown = [0.000_512, 0.0061, 0.25, 2.512, 12.34, 123.4].map(|seconds| Unit::Seconds.show(seconds));
        assert_eq!(shown, ["0.51 ms", "6.10 ms", "250 ms", "2.51 s", "12.3 s", "123 s"]);
        assert_eq!(Unit::Bytes.show(2_449_999.0), "2.45 MB");
        assert_eq!(Unit::Count.show(5.0), "5");
        assert_eq!([0.001_94, 0.3333, 1.5, 420.4].map(show_ratio), ["0.0019×", "0.33×", "1.50×", "420×"]);
    }

    #[test]
    fn a_spread_is_shown_unless_all_values_are_equal() {
        assert_eq!(Unit::Seconds.show_sample(&sample(&[1.0, 2.0, 3.0])), "2 s (1 s – 3 s)");
        assert_eq!(Unit::Count.show_sample(&sample(&[5.0, 5.0])), "5");
    }
}
