//! Signs of life in a log that cannot show a live line.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Reports the current activity at an interval, if it lasts that long. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    activity: Arc<Mutex<(String, Instant)>>,
    /// Its end is the signal for the thread.
    _alive: Sender<()>,
}

impl Heartbeat {
    /// Starts without an activity. `report` gets the activity and its duration.
    pub(crate) fn start(interval: Duration, report: impl Fn(&str, Duration) + Send + 'static) -> Heartbeat {
        let activity = Arc::new(Mutex::new((String::new(), Instant::now())));
        let (alive, ended) = channel();
        let shared = Arc::clone(&activity);
        std::thread::spawn(move || {
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let (text, began) = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if !text.is_empty() && began.elapsed() >= interval {
                    report(&text, began.elapsed());
                }
            }
        });
        Heartbeat { activity, _alive: alive }
    }

    /// Replaces the activity, and restarts its duration.
    pub(crate) fn restart(&self, text: &str) {
        *self.activity.lock().unwrap_or_else(PoisonError::into_inner) = (text.to_owned(), Instant::now());
    }

    /// Replaces the activity's text.
    pub(crate) fn update(&self, text: &str) {
        text.clone_into(&mut self.activity.lock().unwrap_or_else(PoisonError::into_inner).0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::Heartbeat;

    const INTERVAL: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn an_activity_that_lasts_is_reported_until_the_end() {
        let (sender, reports) = channel();
        let heartbeat = Heartbeat::start(INTERVAL, move |text, _| sender.send(text.to_owned()).unwrap());
        assert!(reports.recv_timeout(INTERVAL * 3).is_err(), "there is no activity yet");
        heartbeat.restart("building");
        assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), "building");
        heartbeat.update("pulling");
        let mut later = reports.iter();
        assert!(later.any(|text| text == "pulling"));
        drop(heartbeat);
        // The thread drops its end of the channel.
        assert!(later.all(|text| text == "pulling"));
    }
}
