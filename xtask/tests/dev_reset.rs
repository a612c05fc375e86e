//! The main job, end to end, with the real tool, image and database: `cargo xtask dev-reset` on a stack of its own, what
//! it serves, a restart, a stop.
//!
//! `cargo xtask test` runs this; it names the stack and removes it even when the test is killed.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const COLLECTIONS: [&str; 11] = [
    "organizations",
    "organization_users",
    "vehicles",
    "organization_vehicles",
    "devices",
    "organization_devices",
    "events",
    "classes",
    "entries",
    "entry_crew",
    "entry_devices",
];
const USER_FIELDS: [&str; 3] = ["phone", "birth_date", "nationality"];
const TAG: &str = "trm-directus:e2e";

#[test]
fn a_fresh_stack_serves_survives_a_restart_and_stops_quickly() {
    let project = std::env::var("XTASK_E2E_PROJECT").expect("this test needs a stack: run it with `cargo xtask test`");
    let stack = Stack { project };

    let report = stack.dev_reset();
    let phases: Vec<&str> = report["phases"].as_array().unwrap().iter().map(|p| p["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["config", "database", "lock", "db-init", "bootstrap", "schema", "post-schema", "exec"]);
    let api = Api::login(&report);
    let container = stack.container();
    assert_eq!(docker(&["inspect", "--format", "{{.State.Health.Status}}", &container]), "healthy");
    let log = docker(&["logs", &container]);
    assert!(log.contains("db-init: 3 applied, 0 skipped"), "{log}");
    assert!(log.contains("post-schema: 2 applied, 0 skipped"), "{log}");

    for collection in COLLECTIONS {
        assert_eq!(api.get(&format!("/items/{collection}")), json!([]), "{collection}");
    }
    let fields = api.get("/fields/directus_users");
    for field in USER_FIELDS {
        assert!(fields.as_array().unwrap().iter().any(|item| item["field"] == field), "directus_users.{field}");
    }
    let club = json!({ "name": "Motorsport Club", "slug": "club" });
    let id = api.post("/items/organizations", &club)["id"].as_str().unwrap().to_owned();

    docker(&["restart", &container]);
    stack.wait_healthy(&container);
    let log = docker(&["logs", &container]);
    assert!(log.contains("db-init: 0 applied, 3 skipped"), "{log}");
    assert!(log.contains("post-schema: 0 applied, 2 skipped"), "{log}");
    assert!(log.contains("no changes"), "{log}");
    assert_eq!(Api::login(&report).get(&format!("/items/organizations/{id}"))["slug"], "club");

    let began = Instant::now();
    docker(&["stop", &container]);
    assert!(began.elapsed() < Duration::from_secs(5), "docker stop took {:?}", began.elapsed());
}

/// A development stack, gone when this is dropped.
struct Stack {
    project: String,
}

impl Stack {
    fn dev_reset(&self) -> Value {
        // As it ships, which the gate builds anyway.
        let arguments = ["dev-reset", "--release", "--json", "--tag", TAG, "--project", &self.project];
        let output = xtask(&arguments);
        assert!(output.status.success(), "dev-reset failed:\n{}", text(&output.stderr));
        let stdout = text(&output.stdout);
        assert_eq!(stdout.lines().count(), 1, "stdout is the result alone:\n{stdout}");
        serde_json::from_str(&stdout).unwrap()
    }

    fn container(&self) -> String {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = "label=com.docker.compose.service=directus";
        docker(&["ps", "--quiet", "--filter", &project, "--filter", service])
    }

    fn wait_healthy(&self, container: &str) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while docker(&["inspect", "--format", "{{.State.Health.Status}}", container]) != "healthy" {
            assert!(
                Instant::now() < deadline,
                "{} does not get healthy:\n{}",
                self.project,
                docker(&["logs", container])
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let output = xtask(&["down", "--volumes", "--project", &self.project]);
        if !output.status.success() {
            eprintln!("down failed:\n{}", text(&output.stderr));
        }
    }
}

/// The server's REST API, as its administrator.
struct Api {
    agent: ureq::Agent,
    url: String,
    token: String,
}

impl Api {
    fn login(report: &Value) -> Api {
        let agent = ureq::Agent::config_builder().proxy(None).build().into();
        let url = report["url"].as_str().unwrap().to_owned();
        let mut api = Api { agent, url, token: String::new() };
        let ping = api.agent.get(format!("{}/server/ping", api.url)).call().unwrap();
        assert_eq!(ping.status(), 200);
        let data = api.post("/auth/login", &json!({ "email": report["email"], "password": report["password"] }));
        api.token = format!("Bearer {}", data["access_token"].as_str().unwrap());
        api
    }

    fn get(&self, path: &str) -> Value {
        let request = self.agent.get(format!("{}{path}", self.url)).header("authorization", &self.token);
        let mut response = request.call().unwrap_or_else(|error| panic!("GET {path}: {error}"));
        response.body_mut().read_json::<Value>().unwrap()["data"].take()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let mut request = self.agent.post(format!("{}{path}", self.url));
        if !self.token.is_empty() {
            request = request.header("authorization", &self.token);
        }
        let mut response = request.send_json(body).unwrap_or_else(|error| panic!("POST {path}: {error}"));
        response.body_mut().read_json::<Value>().unwrap()["data"].take()
    }
}

/// Ports that a developer has set are those of the developer's stack; an empty value leaves the choice to the tool.
fn xtask(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments).env("PORT_ON_HOST", "").env("DB_PORT_ON_HOST", "");
    command.output().unwrap()
}

/// What a successful `docker` command says, on both streams.
fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", text(&output.stderr));
    format!("{}{}", text(&output.stdout), text(&output.stderr)).trim().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
