//! Pauses between the tries of many boots at once: short at first, longer with the time that has passed and with the time
//! that a try takes, and out of step with each other.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(200);
/// The longest pause, as long as a try is fast. A waiting boot logs the holder of the lock at this interval.
pub const LONGEST: Duration = Duration::from_secs(5);
/// A pause is at least this fraction of the waiting time, so that a wait is extended by a quarter of itself at most.
const OF_WAITED: u32 = 4;
/// … and this multiple of the last try, so that the tries of all boots together take a bounded part of the server.
const OF_TRY: u32 = 40;
/// The longest pause after a slow try.
const LONGEST_AFTER_SLOW_TRY: Duration = Duration::from_secs(10);

/// Returns the pause after a try that took `took`, in a wait that has lasted for `waited`. It is random.
#[must_use]
pub fn pause(waited: Duration, took: Duration) -> Duration {
    spread(longest(waited, took), random())
}

fn longest(waited: Duration, took: Duration) -> Duration {
    (waited / OF_WAITED).clamp(FIRST, LONGEST).max((took * OF_TRY).min(LONGEST_AFTER_SLOW_TRY))
}

/// Returns a duration between the half of `longest` and all of it.
fn spread(longest: Duration, random: u32) -> Duration {
    let half = longest / 2;
    half + half * (random >> 16) / (u32::MAX >> 16)
}

/// Returns a random number. The standard library seeds the hashes of its maps from the system's source.
fn random() -> u32 {
    // The cast keeps the lower half.
    RandomState::new().build_hasher().finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MILLISECOND: Duration = Duration::from_millis(1);

    /// The pauses of a wait until `end`, with the random number that makes them the shortest or the longest.
    fn pauses(end: Duration, took: Duration, random: u32) -> Vec<Duration> {
        let mut waited = Duration::ZERO;
        let mut pauses = Vec::new();
        while waited < end {
            let pause = spread(longest(waited, took), random);
            pauses.push(pause);
            waited += pause + took;
        }
        pauses
    }

    #[test]
    fn pauses_grow_from_a_fifth_of_a_second_to_five_seconds() {
        let slowest = pauses(60 * SECOND, MILLISECOND, u32::MAX);
        assert_eq!((slowest[0], slowest.last().copied()), (FIRST, Some(LONGEST)));
        assert!(slowest.is_sorted(), "{slowest:?}");
        let fastest = pauses(60 * SECOND, MILLISECOND, 0);
        assert_eq!((fastest[0], fastest.last().copied()), (FIRST / 2, Some(LONGEST / 2)));
    }

    #[test]
    fn a_wait_is_extended_by_a_quarter_at_most() {
        for waited in [SECOND, 3 * SECOND, 20 * SECOND] {
            assert!(spread(longest(waited, MILLISECOND), u32::MAX) <= waited / 4);
        }
    }

    #[test]
    fn in_the_long_run_a_waiting_boot_tries_less_than_once_in_two_seconds() {
        let hour = 3600 * SECOND;
        assert!(pauses(hour, MILLISECOND, 0).len() < 1800);
    }

    #[test]
    fn a_waiting_boot_is_connected_for_a_twentieth_of_the_time_at_most() {
        for took in [5 * MILLISECOND, 50 * MILLISECOND, 250 * MILLISECOND] {
            for pause in pauses(60 * SECOND, took, 0) {
                assert!(took * 20 <= pause, "a pause of {pause:?} after a try of {took:?}");
            }
        }
        assert_eq!(longest(SECOND, 60 * SECOND), LONGEST_AFTER_SLOW_TRY);
    }

    #[test]
    fn pauses_of_boots_that_start_together_are_spread_over_half_of_the_longest() {
        let pauses: Vec<Duration> = (0..1000).map(|_| pause(20 * SECOND, Duration::ZERO)).collect();
        assert!(pauses.iter().all(|pause| (LONGEST / 2..=LONGEST).contains(pause)));
        // Each of ten equal parts of the range gets about a hundred.
        for part in 0..10 {
            let from = LONGEST / 2 + LONGEST / 20 * part;
            let found = pauses.iter().filter(|pause| (from..from + LONGEST / 20).contains(pause)).count();
            assert!((50..200).contains(&found), "{found} pauses in part {part}");
        }
    }
}
