//! The stacks, read by `docker stack` and by compose.

use contract::{RUNTIME, START_BUDGET, Setting, SettingValue, Storage};
use serde_json::{Value, json};
use testbed::cmd::{Captured, Cmd};
use testbed::workspace;

const STACK: &str = "deploy/stack.yaml";
const BUCKET: &str = "deploy/stack.bucket.yaml";

/// The variables without a default.
const REQUIRED: [(&str, &str); 4] = [
    ("IMAGE", "registry.example.com/trm-directus"),
    ("TAG", "9103636"),
    ("PUBLIC_URL", "https://directus.example.com"),
    ("ADMIN_EMAIL", "admin@example.com"),
];
const REQUIRED_BY_BUCKET: [(&str, &str); 2] =
    [("STORAGE_S3_BUCKET", "uploads"), ("STORAGE_S3_ENDPOINT", "https://s3.example.com")];

#[tokio::test]
async fn compose_reads_the_stack_and_the_values_of_its_variables() {
    let stack = compose(&[STACK], &REQUIRED).await;
    let directus = &stack["services"]["directus"];
    assert_eq!(directus["image"], "registry.example.com/trm-directus:9103636");
    assert_eq!(directus["healthcheck"]["start_period"], format!("{}m0s", START_BUDGET / 60));
    assert_eq!(directus["deploy"]["replicas"], 3);

    let changed =
        [("REPLICAS", "5"), ("START_PERIOD", "2h"), ("POSTGRES_REPLICAS", "0"), ("DB_HOST", "db.example.com")];
    let stack = compose(&[STACK], &[REQUIRED.as_slice(), &changed].concat()).await;
    let directus = &stack["services"]["directus"];
    assert_eq!(directus["deploy"]["replicas"], 5);
    assert_eq!(directus["healthcheck"]["start_period"], "2h0m0s");
    assert_eq!(directus["environment"]["DB_HOST"], "db.example.com");
    assert_eq!(stack["services"]["postgres"]["deploy"]["replicas"], 0);
}

#[tokio::test]
async fn a_variable_without_a_value_is_named() {
    for (name, _) in REQUIRED {
        let others: Vec<_> = REQUIRED.into_iter().filter(|(other, _)| *other != name).collect();
        let read = config(&[STACK], &others).await;
        assert!(!read.status.success() && read.stderr.contains(name), "{name}: {}", read.stderr);
    }
}

#[tokio::test]
async fn the_stack_is_that_of_the_description() {
    let stack = compose(&[STACK], &REQUIRED).await;
    let directus = &stack["services"]["directus"];
    let live = &RUNTIME.probes[2];
    let command: Vec<&str> = ["CMD"].into_iter().chain(live.command()).collect();
    assert_eq!(directus["healthcheck"]["test"], json!(command));
    assert_eq!(directus["healthcheck"]["retries"], live.failures);
    assert_eq!(directus["ports"][0]["target"], RUNTIME.port);
    assert_eq!((&directus["read_only"], &directus["cap_drop"]), (&json!(true), &json!(["ALL"])));
    assert_eq!(directus["stop_grace_period"], format!("{}s", RUNTIME.stop_grace));
    let mounts = directus["volumes"].as_array().unwrap();
    assert_eq!(mounts.len(), RUNTIME.writable.len());
    for path in RUNTIME.writable {
        let mount = mounts.iter().find(|mount| mount["target"] == path.path).expect(path.path);
        match path.storage {
            Storage::Scratch(size) => {
                assert_eq!(
                    (&mount["type"], &mount["tmpfs"]["size"]),
                    (&json!("tmpfs"), &json!((size << 20).to_string()))
                );
            }
            Storage::Shared => assert_eq!((&mount["type"], &mount["source"]), (&json!("volume"), &json!(path.name))),
        }
    }
    assert_variables(&stack, RUNTIME.settings);
    assert_variables(&stack, RUNTIME.replicas);
    assert_variables(&stack, RUNTIME.drain);
    let (server, database) = (&directus["environment"], &stack["services"]["postgres"]["environment"]);
    assert_eq!((&database["POSTGRES_USER"], &database["POSTGRES_DB"]), (&server["DB_USER"], &server["DB_DATABASE"]));
}

#[tokio::test]
async fn a_roll_starts_first_and_goes_back_by_itself() {
    let stack = compose(&[STACK], &REQUIRED).await;
    let deploy = &stack["services"]["directus"]["deploy"];
    let update = json!({ "parallelism": 1, "order": "start-first", "failure_action": "rollback", "monitor": "30s" });
    assert_eq!(deploy["update_config"], update);
    let rollback = json!({ "parallelism": 1, "order": "start-first", "failure_action": "pause", "monitor": "30s" });
    assert_eq!(deploy["rollback_config"], rollback);
    // Two servers on one volume would destroy the database.
    assert_eq!(stack["services"]["postgres"]["deploy"]["update_config"]["order"], "stop-first");
}

#[tokio::test]
async fn a_bucket_replaces_the_volume_by_variables() {
    let variables = [REQUIRED.as_slice(), &REQUIRED_BY_BUCKET].concat();
    let stack = compose(&[STACK, BUCKET], &variables).await;
    assert_eq!(stack["services"]["directus"]["environment"]["STORAGE_LOCATIONS"], "s3");
    assert_variables(&stack, RUNTIME.settings);
    assert_variables(&stack, RUNTIME.bucket);
}

#[tokio::test]
#[ignore = "needs docker 25 or newer; `cargo xtask ci` runs it, and prints a line if docker is older"]
async fn docker_stack_reads_both_files() {
    let help = Cmd::new("docker").args(["stack", "config", "--help"]).capture().await.unwrap();
    if !help.stdout.contains("docker stack config") {
        println!("skipped: this docker is older than 25 and has no `docker stack config`");
        return;
    }
    let variables = [REQUIRED.as_slice(), &REQUIRED_BY_BUCKET].concat();
    let cmd = Cmd::new("docker").args(["stack", "config", "--compose-file", STACK, "--compose-file", BUCKET]);
    let text = variables.iter().fold(cmd, |cmd, (name, value)| cmd.env(*name, *value)).read().await.unwrap();
    let stack: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(stack["services"]["directus"]["deploy"]["update_config"]["order"], "start-first");
    assert_eq!(stack["services"]["directus"]["secrets"].as_array().unwrap().len(), 6);
}

/// Checks that the server gets the variables, the secret ones as files of secrets that exist outside of the stack.
fn assert_variables(stack: &Value, settings: &[Setting]) {
    let environment = &stack["services"]["directus"]["environment"];
    for Setting { name, value, .. } in settings {
        match value {
            SettingValue::Secret => {
                let secret = name.to_lowercase();
                assert!(environment[name].is_null(), "{name} is readable");
                assert_eq!(environment[format!("{name}_FILE")], format!("/run/secrets/{secret}"));
                let of_service = stack["services"]["directus"]["secrets"].as_array().unwrap();
                assert!(of_service.iter().any(|entry| entry["source"] == *secret), "{name}");
                let expected = json!({ "external": true, "name": format!("trm_{secret}") });
                assert_eq!(stack["secrets"][secret], expected);
            }
            SettingValue::Default(default) => assert_eq!(environment[name], *default, "{name}"),
            SettingValue::Asked => assert!(environment[name].as_str().is_some_and(|value| !value.is_empty()), "{name}"),
        }
    }
}

async fn compose(files: &[&str], variables: &[(&str, &str)]) -> Value {
    let read = config(files, variables).await;
    assert!(read.status.success(), "{}", read.stderr);
    serde_json::from_str(&read.stdout).unwrap()
}

async fn config(files: &[&str], variables: &[(&str, &str)]) -> Captured {
    // Not the .env file of a developer.
    let cmd = Cmd::new("docker").args(["compose", "--env-file", "/dev/null"]);
    let cmd = files.iter().fold(cmd, |cmd, file| cmd.arg("--file").arg(workspace::path(file)));
    let cmd = variables.iter().fold(cmd, |cmd, (name, value)| cmd.env(*name, *value));
    cmd.args(["config", "--format", "json"]).capture().await.unwrap()
}
