//! The workflows: those of GitHub and Gitea are the same, every source of the image starts them, and the nightly one tests
//! every version of PostgreSQL.

use grammar::PostgresVersion;
use serde_json::Value;

use crate::root;

fn read(path: &str) -> String {
    crate::read(&root().join(path))
}

const GITEA: &str = ".gitea/workflows/image.yml";
const GITHUB: &str = ".github/workflows/image.yml";
const DEPLOY: &str = "docs/deploy.md";
const NIGHTLY: &str = ".github/workflows/nightly.yml";

fn paths(workflow: &Value, event: &str) -> Vec<String> {
    let paths = workflow["on"][event]["paths"].as_array().unwrap_or_else(|| panic!("{event} has no paths"));
    paths.iter().map(|path| path.as_str().unwrap().to_owned()).collect()
}

/// The lines that both files share: versions of the action that uploads artifacts differ.
fn common_lines(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines.filter(|line| !line.starts_with("# The same as ") && !line.contains("actions/upload-artifact@")).collect()
}

fn covers(filter: &str, source: &str) -> bool {
    match filter.strip_suffix("/**") {
        Some(folder) => source.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        None => filter == source,
    }
}

fn is_commit(name: &str) -> bool {
    name.len() == 40 && name.chars().all(|c| c.is_ascii_hexdigit())
}

#[test]
fn the_workflows_of_gitea_and_github_are_the_same() {
    assert_eq!(common_lines(&read(GITEA)), common_lines(&read(GITHUB)));
}

#[test]
fn a_change_of_any_source_of_the_image_starts_the_workflows() {
    let workflow: Value = serde_saphyr::from_str(&read(GITHUB)).unwrap();
    let filters = paths(&workflow, "push");
    assert_eq!(filters, paths(&workflow, "pull_request"));
    let ignore = read(".dockerignore");
    let sources = ignore.lines().filter_map(|line| line.strip_prefix('!')).filter(|path| !path.starts_with("target/"));
    let mut count = 0;
    for source in sources {
        assert!(filters.iter().any(|filter| covers(filter, source)), "no path filter of {GITHUB} covers {source}");
        count += 1;
    }
    assert!(count > 5, ".dockerignore lists only {count} sources");
}

#[test]
fn every_version_of_postgresql_is_tested_at_night_and_documented() {
    let numbers = PostgresVersion::ALL.map(|version| version.number);
    let workflow: Value = serde_saphyr::from_str(&read(NIGHTLY)).unwrap();
    let job = &workflow["jobs"]["postgres"];
    assert_eq!(job["strategy"]["matrix"]["version"], serde_json::json!(numbers), "{NIGHTLY}");
    for command in ["test", "verify"] {
        let command = format!("cargo xtask {command} --postgres ${{{{ matrix.version }}}}");
        let mut runs = job["steps"].as_array().unwrap().iter().filter_map(|step| step["run"].as_str());
        assert!(runs.any(|run| run.starts_with(&command)), "{NIGHTLY} does not run `{command}`");
    }
    let page = read(DEPLOY);
    let (_, section) = page.split_once("\n## Versions of PostgreSQL\n").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| "));
    let documented: Vec<&str> = rows.filter_map(|row| row.split(' ').next()).skip(2).collect();
    assert_eq!(documented, numbers, "the table of {DEPLOY}");
}

#[test]
fn actions_are_pinned_to_a_commit_and_jobs_may_only_read() {
    for file in [GITEA, GITHUB, NIGHTLY] {
        let workflow: Value = serde_saphyr::from_str(&read(file)).unwrap();
        assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }), "{file}");
        let jobs = workflow["jobs"].as_object().unwrap().values();
        let actions: Vec<&str> =
            jobs.flat_map(|job| job["steps"].as_array().unwrap()).filter_map(|step| step["uses"].as_str()).collect();
        assert!(!actions.is_empty(), "{file} uses no action");
        for action in actions {
            assert!(action.split_once('@').is_some_and(|(_, name)| is_commit(name)), "{file}: {action}");
        }
    }
}
