//! The metrics of a boot, as Prometheus text in the file of `BOOT_METRICS_FILE`; [`contract::metrics`] lists them.
//!
//! The file is written at the start of a boot and at its end, whichever it is. Only a boot that is killed writes no end,
//! and its file then shows that it still runs.

mod file;
mod tally;
mod text;

pub use file::MetricsFile;
pub use tally::{Awaited, Tally};
