//! The workflows: two files that must say the same, and must not overlook what goes into the image.

use std::path::Path;

use serde_json::Value;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const GITEA: &str = ".gitea/workflows/image.yml";
const GITHUB: &str = ".github/workflows/image.yml";
const NIGHTLY: &str = ".github/workflows/nightly.yml";

fn paths(workflow: &Value, event: &str) -> Vec<String> {
    let paths = workflow["on"][event]["paths"].as_array().unwrap_or_else(|| panic!("{event} has no paths"));
    paths.iter().map(|path| path.as_str().unwrap().to_owned()).collect()
}

#[test]
fn both_say_the_same_but_for_what_gitea_cannot_do() {
    let common = |text: &str| -> Vec<String> {
        let differs = |line: &&str| line.starts_with("# The same as ") || line.contains("actions/upload-artifact@");
        text.lines().filter(|line| !differs(line)).map(str::to_owned).collect()
    };
    assert_eq!(common(&read(GITEA)), common(&read(GITHUB)));
}

#[test]
fn a_change_of_anything_that_goes_into_the_image_starts_them() {
    let workflow: Value = serde_saphyr::from_str(&read(GITHUB)).unwrap();
    let filters = paths(&workflow, "push");
    assert_eq!(filters, paths(&workflow, "pull_request"));
    let ignore = read(".dockerignore");
    let sources = ignore.lines().filter_map(|line| line.strip_prefix('!')).filter(|path| !path.starts_with("target/"));
    let mut count = 0;
    for source in sources {
        let covered = |filter: &String| match filter.strip_suffix("/**") {
            Some(folder) => source == folder || source.starts_with(&format!("{folder}/")),
            None => filter == source,
        };
        assert!(filters.iter().any(covered), "no path filter of {GITHUB} covers {source}");
        count += 1;
    }
    assert!(count > 5, ".dockerignore names {count} sources only");
}

#[test]
fn actions_are_pinned_to_a_commit_and_the_jobs_may_only_read() {
    for file in [GITEA, GITHUB, NIGHTLY] {
        let workflow: Value = serde_saphyr::from_str(&read(file)).unwrap();
        assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }), "{file}");
        let jobs = workflow["jobs"].as_object().unwrap().values();
        let actions: Vec<&str> =
            jobs.flat_map(|job| job["steps"].as_array().unwrap()).filter_map(|step| step["uses"].as_str()).collect();
        assert!(!actions.is_empty(), "{file} uses no action");
        for action in actions {
            let is_commit = |name: &str| name.len() == 40 && name.chars().all(|c| c.is_ascii_hexdigit());
            assert!(action.split_once('@').is_some_and(|(_, name)| is_commit(name)), "{file}: {action}");
        }
    }
}
