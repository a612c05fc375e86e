//! The chart, rendered by helm.

use std::collections::BTreeSet;
use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use contract::{ProbeSpec, RUNTIME, START_BUDGET, SettingValue, Storage};
use serde_json::{Value, json};
use testbed::kubernetes::{KubernetesTools, manifests};
use testbed::workspace;
use tokio::sync::OnceCell;

/// The oldest version that the chart supports, the newest one with a schema, and one between them.
const VERSIONS: [&str; 3] = ["1.30", "1.34", "1.37"];

/// Values that set everything without a default.
const MINIMAL: &str = "minimal";

/// The effects of values, each an object with `values` and, by kind of manifest, places and what is there.
const EFFECTS: &str = include_str!("effects.yaml");
/// Values that are refused, with reasons.
const REFUSALS: &str = include_str!("refusals.yaml");

/// Values whose tests are more than one place in a manifest.
const TESTED_BELOW: [&str; 2] = ["/env", "/extraEnv"];

#[tokio::test]
#[ignore = "needs helm, which `cargo xtask ci` fetches"]
async fn every_file_of_values_passes_the_lint_and_the_schemas_of_kubernetes() {
    let tools = tools().await;
    println!("{}", tools.versions().await.unwrap());
    tools.lint(&[]).await.unwrap();
    let files = files_of_values();
    assert!(files.len() >= 3);
    for values in files {
        tools.lint(&[&values]).await.unwrap();
        let rendered = tools.render(&[&values]).await.unwrap();
        assert!(rendered.status.success(), "{values}: {}", rendered.stderr);
        let own = |manifest: &&Value| manifest["kind"] != "ExternalSecret";
        let expected = manifests(&rendered.stdout).unwrap().iter().filter(own).count() * VERSIONS.len();
        let (passed, unknown) = validate(&rendered.stdout).await.unwrap();
        assert_eq!(passed, expected, "{values}");
        assert!(unknown.iter().all(|kind| kind == "ExternalSecret"), "{values}: {unknown:?}");
        println!("{}: {passed} manifests passed against {}", values.file_name().unwrap(), VERSIONS.join(", "));
    }
}

#[tokio::test]
#[ignore = "needs helm, which `cargo xtask ci` fetches"]
async fn a_misspelt_field_does_not_pass_the_schemas() {
    let rendered = render(&json!({ "affinity": { "nodeAffinty": {} } })).await.unwrap();
    let error = validate(&rendered).await.unwrap_err().to_string();
    assert!(error.contains("deployment/rally") && error.contains("nodeAffinty"), "{error}");
}

#[tokio::test]
#[ignore = "needs helm, which `cargo xtask ci` fetches"]
async fn each_value_has_its_effect() {
    for effect in table(EFFECTS) {
        let values = &effect["values"];
        let rendered = render(values).await.unwrap_or_else(|error| panic!("{values}: {error}"));
        let manifests = manifests(&rendered).unwrap();
        for (kind, places) in effect.as_object().unwrap().iter().filter(|(kind, _)| *kind != "values") {
            let manifest = manifests.iter().find(|manifest| manifest["kind"] == **kind);
            assert_eq!(manifest.is_none(), places.is_null(), "{values}: {kind}");
            for (place, expected) in places.as_object().into_iter().flatten() {
                let found = manifest.and_then(|manifest| manifest.pointer(&pointer(place))).unwrap_or(&Value::Null);
                assert_eq!(found, expected, "{values}: {place} of {kind}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs helm, which `cargo xtask ci` fetches"]
async fn values_that_cannot_work_are_refused_with_the_reason() {
    for refusal in table(REFUSALS) {
        let (values, reason) = (&refusal["values"], refusal["reason"].as_str().unwrap());
        match render(values).await {
            Ok(_) => panic!("{values} is accepted"),
            Err(error) => assert!(error.contains(reason), "{values}: {error}"),
        }
    }
}

#[test]
fn each_value_has_a_test_and_a_schema() {
    let values = serde_saphyr::from_str(&read("deploy/chart/values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("deploy/chart/values.schema.json")).unwrap();
    let tested: BTreeSet<String> = table(EFFECTS).iter().flat_map(|effect| leaves(&effect["values"], "")).collect();
    for leaf in leaves(&values, "") {
        let below = format!("{leaf}/");
        let is_tested = tested.iter().any(|path| *path == leaf || path.starts_with(&below));
        assert!(is_tested || TESTED_BELOW.contains(&leaf.as_str()), "no test has {leaf}");
        let place = leaf.replace('/', "/properties/");
        assert!(schema.pointer(&place).is_some(), "the schema has no {place}");
    }
}

#[tokio::test]
#[ignore = "needs helm, which `cargo xtask ci` fetches"]
async fn probes_port_and_paths_are_those_of_the_description() {
    let manifests = manifests(&render(&json!({})).await.unwrap()).unwrap();
    let deployment = of_kind(&manifests, "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], RUNTIME.port);
    for (name, probe) in ["startupProbe", "readinessProbe", "livenessProbe"].into_iter().zip(&RUNTIME.probes) {
        let ProbeSpec { interval, timeout, failures, .. } = *probe;
        let expected = json!({
            "exec": { "command": probe.command() },
            "periodSeconds": interval, "timeoutSeconds": timeout, "failureThreshold": failures,
        });
        assert_eq!(container[name], expected, "{name}");
    }
    assert!(deployment["spec"]["progressDeadlineSeconds"].as_u64().unwrap() > u64::from(START_BUDGET));
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"], json!({ "maxUnavailable": 0, "maxSurge": 1 }));
    for path in RUNTIME.writable {
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["mountPath"] == path.path).expect(path.path);
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect(path.path);
        match path.storage {
            Storage::Scratch(size) => assert_eq!(volume["emptyDir"]["sizeLimit"], format!("{size}Mi")),
            Storage::Shared => assert_eq!(volume["persistentVolumeClaim"]["claimName"], "rally-uploads"),
        }
    }
}

#[tokio::test]
#[ignore = "needs helm, which `cargo xtask ci` fetches"]
async fn variables_are_those_of_the_description_and_of_the_operator() {
    let overlay =
        json!({ "env": { "DB_PORT": "6432", "LOG_STYLE": "raw" }, "extraEnv": [{ "name": "A", "value": "b" }] });
    let manifests = manifests(&render(&overlay).await.unwrap()).unwrap();
    let deployment = of_kind(&manifests, "Deployment");
    let env = deployment.pointer(&pointer("container/env")).unwrap().as_array().unwrap();
    let value = |name: &str| env.iter().find(|entry| entry["name"] == name).map(|entry| &entry["value"]);
    assert_eq!(value("DB_HOST").unwrap(), "postgres.databases.svc");
    assert_eq!(
        (value("DB_PORT").unwrap(), value("LOG_STYLE").unwrap(), value("A").unwrap()),
        (&json!("6432"), &json!("raw"), &json!("b"))
    );
    for setting in [RUNTIME.settings, RUNTIME.replicas, RUNTIME.drain].into_iter().flatten() {
        match setting.value {
            SettingValue::Secret => {
                assert!(value(setting.name).is_none(), "{} is readable", setting.name);
                let file = format!("/run/secrets/directus/{}", setting.name);
                assert_eq!(value(&format!("{}_FILE", setting.name)).unwrap(), &file);
            }
            SettingValue::Default("") => assert!(value(setting.name).is_none(), "{} is empty", setting.name),
            SettingValue::Default(default) if setting.name != "DB_PORT" => {
                assert_eq!(value(setting.name).unwrap(), default)
            }
            SettingValue::Default(_) | SettingValue::Asked => {
                assert!(value(setting.name).is_some(), "{}", setting.name)
            }
        }
    }
    let names: BTreeSet<&str> = env.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), env.len(), "a variable is set twice");
}

#[tokio::test]
#[ignore = "needs helm, which `cargo xtask ci` fetches"]
async fn every_pod_is_restricted_and_only_the_test_is_a_hook() {
    for values in files_of_values() {
        let rendered = tools().await.render(&[&values]).await.unwrap();
        let mut pods = 0;
        for manifest in manifests(&rendered.stdout).unwrap() {
            let hook = &manifest["metadata"]["annotations"]["helm.sh/hook"];
            let pod = match manifest["kind"].as_str().unwrap() {
                "Deployment" => &manifest["spec"]["template"]["spec"],
                "Pod" => {
                    assert_eq!(hook, "test");
                    &manifest["spec"]
                }
                "Job" | "CronJob" => panic!("the boot migrates, not a job"),
                kind => {
                    assert!(hook.is_null(), "{kind} is a hook");
                    continue;
                }
            };
            assert_restricted(pod);
            pods += 1;
        }
        assert_eq!(pods, 2, "{values}");
    }
}

/// Checks the rules of the restricted pod security standard, and those that this image allows in addition.
fn assert_restricted(pod: &Value) {
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_ne!(pod["securityContext"]["runAsUser"], 0);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!((&pod["automountServiceAccountToken"], &pod["enableServiceLinks"]), (&json!(false), &json!(false)));
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod[name].is_null(), "{name}");
    }
    for container in pod["containers"].as_array().unwrap() {
        let expected = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        });
        assert_eq!(container["securityContext"], expected);
    }
}

async fn tools() -> &'static KubernetesTools {
    static TOOLS: OnceCell<KubernetesTools> = OnceCell::const_new();
    TOOLS.get_or_init(async || KubernetesTools::obtain().await.unwrap()).await
}

/// Renders the chart with these values over the minimal ones, or returns the reason for a refusal.
async fn render(values: &Value) -> Result<String, String> {
    let file = file(&values.to_string());
    let rendered = tools().await.render(&[&values_file(MINIMAL), path(&file)]).await.unwrap();
    if rendered.status.success() { Ok(rendered.stdout) } else { Err(rendered.stderr) }
}

async fn validate(rendered: &str) -> anyhow::Result<(usize, Vec<String>)> {
    let file = file(rendered);
    tools().await.validate(&[path(&file)], &VERSIONS).await
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> &Utf8Path {
    Utf8Path::from_path(file.path()).unwrap()
}

fn values_file(name: &str) -> Utf8PathBuf {
    workspace::path(&format!("deploy/chart/ci/{name}.yaml"))
}

fn files_of_values() -> Vec<Utf8PathBuf> {
    let entries = workspace::path("deploy/chart/ci").read_dir_utf8().unwrap();
    entries.map(|entry| entry.unwrap().into_path()).collect()
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    manifests.iter().find(|manifest| manifest["kind"] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
}

/// The paths of all values that are not objects with entries.
fn leaves(value: &Value, path: &str) -> Vec<String> {
    match value.as_object() {
        Some(entries) if !entries.is_empty() => {
            entries.iter().flat_map(|(name, value)| leaves(value, &format!("{path}/{name}"))).collect()
        }
        _ => vec![path.to_owned()],
    }
}

/// Reads the rows of a table.
fn table(text: &str) -> Vec<Value> {
    serde_saphyr::from_str(text).unwrap()
}

/// Returns a place as a JSON pointer.
fn pointer(place: &str) -> String {
    let pod = "/spec/template/spec";
    match place.split_once('/') {
        Some(("pod", rest)) => format!("{pod}/{rest}"),
        Some(("container", rest)) => format!("{pod}/containers/0/{rest}"),
        _ => place.to_owned(),
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace::path(path)).unwrap()
}
