//! Parses the output of `docker buildx build --progress=rawjson` on stderr.
//!
//! The output consists of JSON objects, each on one or several lines (depending on the version), and of plain text after
//! the last object, which is `ERROR: …` for a failed build.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

/// Number of a step's last lines to keep in case it fails.
const KEPT_LINES: usize = 40;

/// An event of the build.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum BuildEvent {
    /// A step began.
    Started(String),
    /// A step succeeded.
    Done(String, Duration),
    /// A step's result was cached.
    Cached(String),
    /// A step wrote a line.
    Output(String),
    /// A step failed; with its last lines of output.
    Failed(String, Vec<String>),
    /// The builder wrote a line outside of any step.
    Text(String),
}

/// The state of a build so far.
#[derive(Debug, Default)]
pub(super) struct BuildProgress {
    object: String,
    steps: BTreeMap<String, BuildStep>,
}

#[derive(Debug)]
struct BuildStep {
    name: String,
    began: Instant,
    ended: bool,
    output: VecDeque<String>,
}

impl BuildProgress {
    /// Parses the next line, and returns its events.
    pub(super) fn line(&mut self, line: &str) -> Vec<BuildEvent> {
        if self.object.is_empty() && !line.starts_with('{') {
            let text = line.trim();
            return if text.is_empty() { Vec::new() } else { vec![BuildEvent::Text(text.to_owned())] };
        }
        self.object.push_str(line);
        // Only the brace that ends an object is in the first column.
        if line != "}" && !(line.starts_with('{') && line.ends_with('}')) {
            return Vec::new();
        }
        match serde_json::from_str(&std::mem::take(&mut self.object)) {
            Ok(status) => self.status(status),
            Err(_) => Vec::new(),
        }
    }

    fn status(&mut self, status: BuildStatus) -> Vec<BuildEvent> {
        let mut events = Vec::new();
        // Output first: one object may contain a step's last output and its failure.
        for log in status.logs {
            let Some(step) = self.steps.get_mut(&log.vertex) else { continue };
            let bytes = BASE64_STANDARD.decode(log.data).unwrap_or_default();
            for line in String::from_utf8_lossy(&bytes).lines() {
                if step.output.len() == KEPT_LINES {
                    step.output.pop_front();
                }
                step.output.push_back(line.to_owned());
                events.push(BuildEvent::Output(line.to_owned()));
            }
        }
        for vertex in status.vertexes {
            events.extend(self.vertex(vertex));
        }
        events
    }

    fn vertex(&mut self, vertex: Vertex) -> Option<BuildEvent> {
        vertex.started.as_ref()?;
        let name = vertex.name;
        let is_new = !self.steps.contains_key(&vertex.digest);
        let step = self.steps.entry(vertex.digest).or_insert_with(|| BuildStep {
            name: name.clone(),
            began: Instant::now(),
            ended: false,
            output: VecDeque::new(),
        });
        if step.ended {
            return None;
        }
        step.ended = vertex.completed.is_some();
        let name = step.name.clone();
        match vertex.error {
            Some(error) if !error.is_empty() && !error.ends_with("context canceled") => {
                step.ended = true;
                Some(BuildEvent::Failed(name, step.output.drain(..).collect()))
            }
            _ if vertex.cached && step.ended => Some(BuildEvent::Cached(name)),
            _ if step.ended => Some(BuildEvent::Done(name, step.began.elapsed())),
            _ if is_new => Some(BuildEvent::Started(name)),
            _ => None,
        }
    }
}

/// Returns true for a step that is the builder's own and not an instruction of the Dockerfile.
pub(super) fn is_internal(step: &str) -> bool {
    step.starts_with("[internal]") || step.starts_with("[auth]")
}

#[derive(Debug, Deserialize)]
struct BuildStatus {
    #[serde(default)]
    vertexes: Vec<Vertex>,
    #[serde(default)]
    logs: Vec<BuildLog>,
}

#[derive(Debug, Deserialize)]
struct Vertex {
    digest: String,
    #[serde(default)]
    name: String,
    started: Option<String>,
    completed: Option<String>,
    #[serde(default)]
    cached: bool,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct BuildLog {
    vertex: String,
    data: String,
}

#[cfg(test)]
mod tests {
    use super::{BuildEvent, BuildProgress, is_internal};

    fn events(text: &str) -> Vec<BuildEvent> {
        let mut progress = BuildProgress::default();
        text.lines().flat_map(|line| progress.line(line)).collect()
    }

    #[test]
    fn a_step_starts_and_ends_once() {
        let text = r#"{
  "vertexes": [
    {
      "digest": "sha256:1",
      "name": "[2/3] COPY a b"
    }
  ]
}
{"vertexes":[{"digest":"sha256:1","name":"[2/3] COPY a b","started":"2026-06-06T10:00:00Z"}]}
{"vertexes":[{"digest":"sha256:1","name":"[2/3] COPY a b","started":"2026-06-06T10:00:00Z","completed":"2026-06-06T10:00:01Z"}]}
{"vertexes":[{"digest":"sha256:1","name":"[2/3] COPY a b","started":"2026-06-06T10:00:00Z","completed":"2026-06-06T10:00:01Z"}]}
"#;
        let events = events(text);
        assert_eq!(events[0], BuildEvent::Started("[2/3] COPY a b".to_owned()));
        assert!(matches!(&events[1], BuildEvent::Done(name, _) if name == "[2/3] COPY a b"));
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn a_cached_step_is_reported_as_cached() {
        let text = r#"{"vertexes":[{"digest":"d","name":"RUN x","started":"t","completed":"t","cached":true}]}"#;
        assert_eq!(events(text), [BuildEvent::Cached("RUN x".to_owned())]);
    }

    #[test]
    fn a_failed_step_has_its_output_and_plain_text_is_kept() {
        let text = r#"{"vertexes":[{"digest":"d","name":"RUN x","started":"t"}]}
{
  "logs": [
    {
      "vertex": "d",
      "data": "aGVsbG8KYm95Cg=="
    }
  ]
}
{"vertexes":[{"digest":"d","name":"RUN x","started":"t","completed":"t","error":"exit code: 3"}]}
ERROR: failed to solve: exit code: 3
"#;
        let events = events(text);
        let lines = vec!["hello".to_owned(), "boy".to_owned()];
        assert_eq!(events[1], BuildEvent::Output("hello".to_owned()));
        assert_eq!(events[3], BuildEvent::Failed("RUN x".to_owned(), lines));
        assert_eq!(events[4], BuildEvent::Text("ERROR: failed to solve: exit code: 3".to_owned()));
    }

    #[test]
    fn internal_steps_of_the_builder_are_recognized() {
        assert!(is_internal("[internal] load .dockerignore"));
        assert!(!is_internal("[stage-3 2/6] COPY scripts/image /directus/scripts"));
    }
}
