//! What people see: status lines and one live line on stderr, tables and sizes as text.

use std::time::Duration;

use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Says what is being done: a verb, right-aligned as cargo's, and what it is done to.
pub fn status(verb: &str, text: &str) {
    eprintln!("{} {text}", style(format!("{verb:>12}")).for_stderr().green().bold());
}

/// Shows a command line that is about to run.
pub fn command(line: &str) {
    eprintln!("{} {}", style(format!("{:>12}", "Running")).for_stderr().cyan(), style(line).for_stderr().dim());
}

/// Says something that somebody should look at.
pub fn warning(text: &str) {
    eprintln!("{}: {text}", style("warning").for_stderr().yellow().bold());
}

/// Says why xtask ends.
pub fn error(text: &str) {
    eprintln!("{}: {text}", style("error").for_stderr().red().bold());
}

/// Writes a result for people.
pub fn result(text: &str) {
    println!("{text}");
}

/// Writes a result for programs, on one line.
pub fn json_result(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

/// Lines that stay, above one line that changes. Where stderr is no terminal there is no changing line.
#[derive(Debug)]
pub struct Live {
    bar: ProgressBar,
}

impl Live {
    /// Begins with an empty changing line.
    pub fn start() -> Live {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = "           {spinner:.cyan} {wide_msg} {elapsed:.dim}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Live { bar }
    }

    /// Changes the changing line, and begins its time anew.
    pub fn now(&self, text: &str) {
        self.bar.reset_elapsed();
        self.bar.set_message(text.to_owned());
    }

    /// Changes the changing line; its time goes on.
    pub fn still(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// Writes a line that stays, by one of the functions above.
    pub fn line(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Lines with aligned columns; the last column of each row is left as it is.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| console::measure_text_width(&row[column])).max().unwrap_or(0)
    });
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| console::pad_str(cell, width, console::Alignment::Left, None).into_owned())
            .collect();
        format!("  {}", cells.join("  ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A text on one line of bearable length.
pub fn shorten(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    console::truncate_str(&words.join(" "), 100, "…").into_owned()
}

/// A size in units of 1,000,000 bytes, as `docker images` gives it; small ones in 1,000.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A duration in seconds.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// A duration in seconds for programs, to the millisecond.
pub fn json_seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::{columns, shorten, size};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_have_no_trailing_blanks() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        assert_eq!(columns(&[row("a", "x"), row("größer", "")]), "  a       x\n  größer");
    }

    #[test]
    fn long_texts_are_cut_and_short_ones_are_not() {
        assert_eq!(shorten("RUN a \\\n    && b"), "RUN a \\ && b");
        assert_eq!(shorten(&"x".repeat(101)), format!("{}…", "x".repeat(99)));
    }

    #[test]
    fn sizes_have_the_unit_that_reads_best() {
        assert_eq!([999, 1_500, 2_449_999].map(size), ["999 B", "1.5 kB", "2.4 MB"]);
    }
}
