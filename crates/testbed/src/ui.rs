//! Terminal output: status lines and one live line on stderr, tables and sizes as text.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::heartbeat::Heartbeat;

/// Prints a status line like cargo's: a right-aligned verb and its object.
pub fn status(verb: &str, text: &str) {
    eprintln!("{} {text}", style(format!("{verb:>12}")).for_stderr().green().bold());
}

/// Prints a command line that is about to run.
pub fn command(line: &str) {
    eprintln!("{} {}", style(format!("{:>12}", "Running")).for_stderr().cyan(), style(line).for_stderr().dim());
}

/// Prints a warning.
pub fn warning(text: &str) {
    eprintln!("{}: {text}", style("warning").for_stderr().yellow().bold());
}

/// Prints an error.
pub fn error(text: &str) {
    eprintln!("{}: {text}", style("error").for_stderr().red().bold());
}

/// Prints a result as text on stdout. A reader that has ended, such as `head`, has read enough.
pub fn result(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(problem) = writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        && problem.kind() != std::io::ErrorKind::BrokenPipe
    {
        error(&format!("failed to print the result: {problem}"));
    }
}

/// Prints a result as JSON on one line of stdout.
pub fn json_result(value: &impl serde::Serialize) -> anyhow::Result<()> {
    result(&serde_json::to_string(value)?);
    Ok(())
}

/// Asks on the terminal for one of these answers, by their first letters, until the input is one of them. The end of the
/// input is the last answer. Returns `None` without a terminal.
pub async fn choose<const N: usize>(question: &str, words: [&'static str; N]) -> anyhow::Result<Option<&'static str>> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(None);
    }
    let options = words.map(|word| format!("[{}]{}", &word[..1], &word[1..])).join(", ");
    loop {
        eprint!("{} {options}: ", style(question).for_stderr().bold());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // Not a task of the runtime, which would wait for the end of this line after Ctrl-C.
        std::thread::spawn(move || {
            let mut line = String::new();
            sender.send(std::io::stdin().read_line(&mut line).map(|length| (length > 0).then_some(line)))
        });
        let Some(line) = receiver.await?.context("failed to read the answer")? else {
            return Ok(words.last().copied());
        };
        if let Some(word) = chosen(&line, &words) {
            return Ok(Some(word));
        }
    }
}

fn chosen(line: &str, words: &[&'static str]) -> Option<&'static str> {
    let line = line.trim().to_lowercase();
    words.iter().copied().find(|word| !line.is_empty() && word.starts_with(&line))
}

/// Interval of the lines that replace a live line.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Permanent lines above one live line. There is no live line without a terminal on stderr, on a terminal that is dumb
/// (TERM), and in CI, whose log would keep every state of it: a line every 30 seconds replaces it.
#[derive(Debug)]
pub struct Spinner {
    bar: ProgressBar,
    heartbeat: Option<Heartbeat>,
}

impl Spinner {
    /// Starts with an empty live line.
    pub fn start() -> Spinner {
        Spinner::with_template("           {spinner:.cyan} {wide_msg} {elapsed:.dim}")
    }

    /// Starts without live lines. [`Spinner::update`] replaces all of them by the lines of its text, each shortened to the
    /// width of the terminal.
    pub fn start_lines() -> Spinner {
        Spinner::with_template("{msg}")
    }

    fn with_template(template: &str) -> Spinner {
        let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        let target = if is_ci { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
        bar.enable_steady_tick(Duration::from_millis(100));
        let report =
            |text: &str, lasts: Duration| status("Working", &format!("{} ({})", shorten(text), seconds(lasts)));
        let heartbeat = bar.is_hidden().then(|| Heartbeat::start(HEARTBEAT, report));
        Spinner { bar, heartbeat }
    }

    /// Replaces the live line and restarts its timer.
    pub fn restart(&self, text: &str) {
        self.bar.reset_elapsed();
        self.bar.set_message(fit(text));
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.restart(text);
        }
    }

    /// Replaces the live line; its timer continues.
    pub fn update(&self, text: &str) {
        self.bar.set_message(fit(text));
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.update(text);
        }
    }

    /// Returns true if there is a live line.
    pub fn is_live(&self) -> bool {
        self.heartbeat.is_none()
    }

    /// Prints a permanent line with one of the functions above.
    pub fn line(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Shortens each line of a text to the width of the terminal, because wrapped lines cannot be replaced.
fn fit(text: &str) -> String {
    let (_, width) = console::Term::stderr().size();
    let lines = text.lines().map(|line| console::truncate_str(line, usize::from(width), "…"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Formats rows as lines with aligned columns, without trailing blanks.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| console::measure_text_width(&row[column])).max().unwrap_or(0)
    });
    rows.iter().map(|row| line(row, &widths)).collect::<Vec<_>>().join("\n")
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths);
    let padded: Vec<_> =
        cells.map(|(cell, width)| console::pad_str(cell, *width, console::Alignment::Left, None)).collect();
    format!("  {}", padded.join("  ")).trim_end().to_owned()
}

/// Joins a text into one line of at most 100 columns.
pub fn shorten(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    console::truncate_str(&words.join(" "), 100, "…").into_owned()
}

/// Formats bytes in MB of 1,000,000, as `docker images` does; small sizes in kB or B, large ones in GB.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..2_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Formats a duration in seconds, to a tenth.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Returns a duration in seconds for JSON, to the millisecond.
pub fn json_seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::{chosen, columns, shorten, size};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_have_no_trailing_blanks() {
        let rows = [["a", "x"], ["größer", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "  a       x\n  größer");
    }

    #[test]
    fn an_answer_is_the_beginning_of_a_word() {
        let words = ["export", "discard", "cancel"];
        let answers = ["e\n", " Discard \n", "\n", "x\n", "exporter\n"];
        assert_eq!(answers.map(|line| chosen(line, &words)), [Some("export"), Some("discard"), None, None, None]);
    }

    #[test]
    fn only_long_texts_are_truncated() {
        assert_eq!(shorten("RUN a \\\n    && b"), "RUN a \\ && b");
        assert_eq!(shorten(&"x".repeat(101)), format!("{}…", "x".repeat(99)));
    }

    #[test]
    fn sizes_have_the_largest_fitting_unit() {
        assert_eq!([999, 1_500, 2_449_999, 9_100_000_000].map(size), ["999 B", "1.5 kB", "2.4 MB", "9.1 GB"]);
    }
}
