//! Runs the program, as `cargo xtask rehearse` does.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::process::Command;

use serde_json::Value;

/// The end of a run.
pub(crate) struct EndedRun {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl EndedRun {
    /// The report of a run with `--json`.
    pub(crate) fn report(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("no report ({error}): {}", self.stderr))
    }
}

/// Runs `rehearse` with these arguments.
pub(crate) fn rehearse(arguments: &[&str]) -> EndedRun {
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse")).arg("rehearse").args(arguments).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    EndedRun { code: output.status.code().unwrap_or(-1), stdout, stderr }
}

/// The image of this checkout.
pub(crate) fn image() -> String {
    std::env::var("REHEARSE_IMAGE").unwrap_or_else(|_| grammar::DEFAULT_TAG.to_owned())
}

/// An image that differs from that of this checkout; removed when this is dropped.
pub(crate) struct MutantImage {
    pub(crate) tag: String,
    _context: tempfile::TempDir,
}

impl MutantImage {
    /// Builds it. The lines of the Dockerfile can copy these files.
    pub(crate) fn build(name: &str, lines: &str, files: &[(&str, String)]) -> MutantImage {
        let context = tempfile::tempdir().unwrap();
        let dockerfile = format!("FROM {}\nUSER root\n{lines}\nUSER node\n", image());
        let all = files.iter().map(|(name, text)| (*name, text.as_str())).chain([("Dockerfile", dockerfile.as_str())]);
        for (name, text) in all {
            std::fs::write(context.path().join(name), text).unwrap();
        }
        let tag = format!("trm-mutant/{name}:{}", std::process::id());
        // Only the engine's own builder can use local images.
        let mut build = Command::new("docker");
        build.args(["buildx", "build", "--load", "--quiet", "--provenance=false", "--tag", &tag]).arg(context.path());
        let output = build.env("BUILDX_BUILDER", "default").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        MutantImage { tag, _context: context }
    }
}

impl Drop for MutantImage {
    fn drop(&mut self) {
        Command::new("docker").args(["image", "rm", "--force", &self.tag]).output().ok();
    }
}

/// The texts of the findings about a part.
pub(crate) fn findings(report: &Value, part: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let of_part = findings.filter(|finding| finding["part"] == part);
    of_part.map(|finding| finding["text"].as_str().unwrap().to_owned()).collect()
}
