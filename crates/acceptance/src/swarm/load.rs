//! A load of reads and writes at a fixed rate.
//!
//! The loop is open: each request has its time, whether or not earlier ones were answered, and its latency counts from
//! that time. A server that stalls is thereby seen as every client would see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::http::{HttpAnswer, Target};

/// Upper bound on the requests without an answer. Later ones wait, and their waiting counts.
const IN_FLIGHT: usize = 256;
/// Of this many requests in a row, one is a write.
const ONE_WRITE_IN: u64 = 3;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct LoadRecord {
    /// Its time, from the start of the load.
    pub(crate) at: Duration,
    /// From its time to the last byte of its answer, or to its failure.
    pub(crate) latency: Duration,
    /// True for a write.
    pub(crate) is_write: bool,
    /// The key that it wrote or read.
    pub(crate) key: String,
    /// The reason why it failed or its answer was wrong.
    pub(crate) failure: Option<String>,
}

/// A load that has ended.
#[derive(Clone, Debug)]
pub(crate) struct LoadRun {
    /// The time of its first request, since 1970.
    pub(crate) began: Duration,
    /// Its requests, by their time.
    pub(crate) records: Vec<LoadRecord>,
}

/// A load that runs.
#[derive(Debug)]
pub(crate) struct Load {
    began: SystemTime,
    stopped: Arc<AtomicBool>,
    records: JoinHandle<Vec<LoadRecord>>,
}

impl Load {
    /// Starts a load of this many requests per second. Its keys begin with `name`.
    pub(crate) fn start(target: Target, name: &str, rate: u32) -> Load {
        let stopped = Arc::new(AtomicBool::new(false));
        let records = tokio::spawn(run(target, name.to_owned(), rate, Arc::clone(&stopped)));
        Load { began: SystemTime::now(), stopped, records }
    }

    /// Starts no further request, and returns the records of all once the last was answered.
    pub(crate) async fn stop(self) -> anyhow::Result<LoadRun> {
        self.stopped.store(true, Ordering::Relaxed);
        let records = self.records.await.context("the load panicked")?;
        Ok(LoadRun { began: self.began.duration_since(UNIX_EPOCH).unwrap_or_default(), records })
    }
}

async fn run(target: Target, name: String, rate: u32, stopped: Arc<AtomicBool>) -> Vec<LoadRecord> {
    let began = Instant::now();
    let written = Arc::new(Mutex::new(Vec::<u64>::new()));
    let permits = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut requests = JoinSet::new();
    for number in 0_u64.. {
        let at = Duration::from_secs_f64(number as f64 / f64::from(rate));
        tokio::time::sleep_until((began + at).into()).await;
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let (target, name, written, permits) =
            (target.clone(), name.clone(), Arc::clone(&written), Arc::clone(&permits));
        requests.spawn(async move {
            let permit = permits.acquire_owned().await;
            // Two of three reads are of the newest key, which another replica may have written; the third is of any.
            let known = pick(&written.lock().expect("not poisoned"), number);
            let (is_write, key) = match known {
                Some(key) if number % ONE_WRITE_IN != 0 => (false, key),
                _ => (true, number),
            };
            let row = LoadRow { key: format!("{name}-{key}"), speed: speed(key) };
            let result = if is_write { row.write(&target).await } else { row.read(&target).await };
            drop(permit);
            if is_write && result.is_ok() {
                written.lock().expect("not poisoned").push(key);
            }
            LoadRecord {
                at,
                latency: began.elapsed().saturating_sub(at),
                is_write,
                key: row.key,
                failure: result.err(),
            }
        });
    }
    let mut records = requests.join_all().await;
    records.sort_by_key(|record| record.at);
    records
}

/// The key for a read: the newest, or every third time one of the older ones.
fn pick(written: &[u64], number: u64) -> Option<u64> {
    let newest = written.len().checked_sub(1)?;
    let index = if number % ONE_WRITE_IN == 1 { newest } else { number as usize * 7 % (newest + 1) };
    Some(written[index])
}

/// The value in the row of a key. Exact as a `real`.
fn speed(key: u64) -> f64 {
    (key % 997) as f64 + 0.5
}

/// A row of the collection `laps` of the sample.
#[derive(Debug)]
struct LoadRow {
    key: String,
    speed: f64,
}

impl LoadRow {
    async fn write(&self, target: &Target) -> Result<(), String> {
        let body = json!({ "note": self.key, "speed": self.speed });
        let answer = target.send("POST", "/items/laps?fields=note,speed", Some(&body)).await?;
        self.compare(&answer, answer.data()?)
    }

    async fn read(&self, target: &Target) -> Result<(), String> {
        let path = format!("/items/laps?fields=note,speed&filter%5Bnote%5D%5B_eq%5D={}", self.key);
        let answer = target.send("GET", &path, None).await?;
        match answer.data()?.as_array().map(Vec::as_slice) {
            Some([row]) => self.compare(&answer, row),
            _ => Err(format!("the answer for {} is not one row: {}", self.key, answer.body)),
        }
    }

    fn compare(&self, answer: &HttpAnswer, row: &Value) -> Result<(), String> {
        if row["note"] == self.key.as_str() && row["speed"].as_f64() == Some(self.speed) {
            return Ok(());
        }
        Err(format!("{} answers {row} for {} with speed {}", answer.replica, self.key, self.speed))
    }
}

/// Figures of a part of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LoadFigures {
    pub(crate) requests: usize,
    pub(crate) writes: usize,
    pub(crate) failed: usize,
    /// Half of the requests took at most this many milliseconds.
    pub(crate) p50_ms: u64,
    pub(crate) p99_ms: u64,
    pub(crate) longest_ms: u64,
}

impl LoadFigures {
    /// The figures of these requests; all are 0 without any.
    pub(crate) fn of<'a>(records: impl IntoIterator<Item = &'a LoadRecord>) -> LoadFigures {
        let records: Vec<&LoadRecord> = records.into_iter().collect();
        let mut latencies: Vec<u64> = records.iter().map(|record| record.latency.as_millis() as u64).collect();
        latencies.sort_unstable();
        // The smallest value that the share of all values does not exceed.
        let rank = |percent: usize| latencies.get((latencies.len() * percent).div_ceil(100).saturating_sub(1));
        let [p50_ms, p99_ms, longest_ms] = [50, 99, 100].map(|percent| rank(percent).copied().unwrap_or_default());
        LoadFigures {
            requests: records.len(),
            writes: records.iter().filter(|record| record.is_write).count(),
            failed: records.iter().filter(|record| record.failure.is_some()).count(),
            p50_ms,
            p99_ms,
            longest_ms,
        }
    }
}

/// Compares the acknowledged writes with the keys of the rows in the table, and returns the number of such writes: each
/// must have exactly one row. A write that failed may have one or none.
pub(crate) fn compare_writes(records: &[LoadRecord], mut rows: Vec<String>) -> anyhow::Result<usize> {
    let writes = records.iter().filter(|record| record.is_write && record.failure.is_none());
    let mut acknowledged: Vec<&str> = writes.map(|record| record.key.as_str()).collect();
    acknowledged.sort_unstable();
    rows.sort_unstable();
    let lost: Vec<&str> = acknowledged.iter().copied().filter(|key| !is_in(&rows, key)).collect();
    anyhow::ensure!(lost.is_empty(), "{} acknowledged writes are not in the table: {}", lost.len(), lost.join(", "));
    let twice: Vec<&str> = rows.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].as_str()).collect();
    anyhow::ensure!(twice.is_empty(), "{} writes are in the table twice: {}", twice.len(), twice.join(", "));
    Ok(acknowledged.len())
}

fn is_in(sorted: &[String], key: &str) -> bool {
    sorted.binary_search_by(|row| row.as_str().cmp(key)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LoadFigures, LoadRecord, compare_writes, pick};

    fn write(key: &str, ms: u64, failure: Option<&str>) -> LoadRecord {
        LoadRecord {
            at: Duration::ZERO,
            latency: Duration::from_millis(ms),
            is_write: true,
            key: key.to_owned(),
            failure: failure.map(str::to_owned),
        }
    }

    fn rows(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let records: Vec<LoadRecord> = (1..=200).map(|ms| write("a", ms, None)).collect();
        let figures = LoadFigures::of(&records);
        assert_eq!((figures.p50_ms, figures.p99_ms, figures.longest_ms), (100, 198, 200));
        assert_eq!(LoadFigures::of([]), LoadFigures::default());
    }

    #[test]
    fn an_acknowledged_write_must_be_in_the_table_once() {
        let records = [write("a", 1, None), write("b", 1, None), write("c", 1, Some("HTTP 502"))];
        assert_eq!(compare_writes(&records, rows(&["b", "a"])).unwrap(), 2);
        let lost = compare_writes(&records, rows(&["a"])).unwrap_err().to_string();
        assert_eq!(lost, "1 acknowledged writes are not in the table: b");
        let twice = compare_writes(&records, rows(&["a", "b", "b"])).unwrap_err().to_string();
        assert_eq!(twice, "1 writes are in the table twice: b");
    }

    #[test]
    fn a_write_without_an_acknowledgement_may_or_may_not_be_in_the_table() {
        let records = [write("a", 1, None), write("c", 1, Some("HTTP 502"))];
        assert_eq!(compare_writes(&records, rows(&["a", "c"])).unwrap(), 1);
        assert_eq!(compare_writes(&records, rows(&["a"])).unwrap(), 1);
    }

    #[test]
    fn reads_are_of_keys_that_were_written() {
        assert_eq!(pick(&[], 1), None);
        assert_eq!(pick(&[3, 6, 9], 4), Some(9));
        assert!((0..100).all(|number| [3, 6, 9].contains(&pick(&[3, 6, 9], number).unwrap())));
    }
}
