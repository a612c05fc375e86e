//! Which checks a run had to wait for: only a shorter one of them would have made it shorter.

use super::model::CheckReport;

/// How much later than the end of one check the next one on the path may have begun, in seconds: both are rounded.
const ROUNDING: f64 = 0.01;

/// The last check to end, before it the one whose end let that begin, and so on; in the order in which they ran. Between
/// two may lie seconds, in which the containers of the first one are removed.
pub(super) fn critical_path(checks: &[CheckReport]) -> Vec<&'static str> {
    let end = |check: &CheckReport| check.began + check.seconds;
    let mut path: Vec<&CheckReport> = Vec::new();
    let mut limit = f64::INFINITY;
    loop {
        let ran = checks.iter().filter(|check| check.seconds > 0.0);
        let earlier = ran.filter(|check| end(check) <= limit && path.iter().all(|on| on.name != check.name));
        let Some(last) = earlier.max_by(|a, b| end(a).total_cmp(&end(b))) else { break };
        path.push(last);
        limit = last.began + ROUNDING;
    }
    path.reverse();
    path.into_iter().map(|check| check.name).collect()
}

#[cfg(test)]
mod tests {
    use super::critical_path;
    use crate::report::fixture;

    #[test]
    fn it_leads_from_the_last_end_back_to_the_beginning() {
        // `warm-boot` took longer than `fresh-boot`, but nothing waited for it; `admin-ui` was not run.
        assert_eq!(critical_path(&fixture::report().checks), ["fresh-boot", "postgres-killed"]);
        assert_eq!(critical_path(&[]), [""; 0]);
    }
}
