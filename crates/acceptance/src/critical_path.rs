//! The critical path of a run: the checks that have to become faster to make the run faster.

use super::model::CheckReport;

/// Tolerance in seconds between the end of a check and the start of the next one, because both are rounded.
const ROUNDING: f64 = 0.01;

/// The check that ended last, preceded by the one whose end allowed it to begin, and so on, in the order in which they
/// ran. There may be seconds between two of them, while the containers of the first are removed.
pub(super) fn longest_chain(checks: &[CheckReport]) -> Vec<&'static str> {
    let mut path: Vec<&CheckReport> = Vec::new();
    let mut limit = f64::INFINITY;
    loop {
        let ran = checks.iter().filter(|check| check.seconds > 0.0);
        let earlier = ran.filter(|check| check.end() <= limit && path.iter().all(|on| on.name != check.name));
        let Some(last) = earlier.max_by(|a, b| a.end().total_cmp(&b.end())) else { break };
        path.push(last);
        limit = last.began + ROUNDING;
    }
    path.reverse();
    path.into_iter().map(|check| check.name).collect()
}

#[cfg(test)]
mod tests {
    use super::longest_chain;
    use crate::report::fixture;

    #[test]
    fn the_path_leads_from_the_last_end_back_to_the_beginning() {
        // `warm-boot` took longer than `fresh-boot`, but no check waited for it; `admin-ui` was not run.
        assert_eq!(longest_chain(&fixture::report().checks), ["fresh-boot", "postgres-killed"]);
        assert_eq!(longest_chain(&[]), [""; 0]);
    }
}
