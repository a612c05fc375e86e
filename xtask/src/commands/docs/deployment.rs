//! The files in deploy/ that repeat the image's description: the stacks of Docker Swarm, and the data of the chart.

use anyhow::{Context as _, bail};
use contract::{ProbeSpec, RUNTIME, START_BUDGET, Setting, SettingValue, Storage};
use serde_json::{Value, json};

use super::Page;
use crate::workspace;

/// The data that the chart's templates read.
const CHART_DATA: &str = "deploy/chart/files/image.yaml";

/// Services of the stack, as the defaults of the variables that a deployment must otherwise set.
const IN_THE_STACK: [(&str, &str); 2] = [("DB_HOST", "postgres"), ("REDIS_HOST", "redis")];

/// All files.
pub(super) fn files() -> anyhow::Result<Vec<Page>> {
    let stack = include_str!("deployment/stack.yaml");
    let bucket = include_str!("deployment/stack.bucket.yaml");
    let placeholders = placeholders()?;
    Ok(vec![
        Page { path: "deploy/stack.yaml".into(), text: fill(stack, &placeholders)? },
        Page { path: "deploy/stack.bucket.yaml".into(), text: fill(bucket, &placeholders)? },
        Page { path: CHART_DATA.into(), text: chart_data() },
    ])
}

/// Replaces each `@name@` by its text; the lines after the first one get the indentation of the placeholder.
fn fill(template: &str, placeholders: &[(&str, String)]) -> anyhow::Result<String> {
    let mut filled =
        "# Written by `cargo xtask docs` from the description of the image; changes by hand are lost.\n".to_owned();
    for line in template.lines() {
        let indentation = &line[..line.len() - line.trim_start().len()];
        let mut line = line.to_owned();
        for (name, text) in placeholders {
            line = line.replace(&format!("@{name}@"), &text.replace('\n', &format!("\n{indentation}")));
        }
        filled += &line;
        filled.push('\n');
    }
    match filled.split('@').nth(1).filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-')) {
        Some(unknown) => bail!("a template of a stack has the unknown placeholder @{unknown}@"),
        None => Ok(filled),
    }
}

fn placeholders() -> anyhow::Result<Vec<(&'static str, String)>> {
    let [_, _, live] = RUNTIME.probes;
    let secrets = secrets(&[RUNTIME.settings, RUNTIME.replicas]);
    let bucket_secrets = self::secrets(&[RUNTIME.bucket]);
    Ok(vec![
        ("settings", variables(RUNTIME.settings)),
        ("replicas", variables(RUNTIME.replicas)),
        ("drain", variables(RUNTIME.drain)),
        ("bucket", variables(RUNTIME.bucket)),
        ("secrets", list(&secrets)),
        ("bucket-secrets", list(&bucket_secrets)),
        ("secret-names", secret_names(&secrets)),
        ("bucket-secret-names", secret_names(&bucket_secrets)),
        ("volumes", volumes()),
        ("port", RUNTIME.port.to_string()),
        ("user", RUNTIME.user.to_string()),
        ("group", RUNTIME.group.to_string()),
        ("live-asks", capitalized(live.asks)),
        ("live-command", json!(["CMD"].iter().chain(&live.command()).collect::<Vec<_>>()).to_string()),
        ("live-interval", live.interval.to_string()),
        ("live-timeout", live.timeout.to_string()),
        ("live-failures", live.failures.to_string()),
        ("start-budget", START_BUDGET.to_string()),
        ("stop-grace", RUNTIME.stop_grace.to_string()),
        ("cpu-floor", format!("{:.2}", f64::from(RUNTIME.cpu_floor) / 1000.0)),
        ("memory-floor", RUNTIME.memory_floor.to_string()),
        ("memory-limit", RUNTIME.memory_limit.to_string()),
        ("postgres-image", development_database()?),
    ])
}

/// The image of the database in the development stack.
fn development_database() -> anyhow::Result<String> {
    let path = workspace::path("compose.dev.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let image = text.lines().find_map(|line| line.trim().strip_prefix("image: ${POSTGRES_IMAGE:-")?.strip_suffix('}'));
    Ok(image.with_context(|| format!("{path} has no default of POSTGRES_IMAGE"))?.to_owned())
}

/// The variables of a service, one per line, with their reasons.
fn variables(settings: &[Setting]) -> String {
    let line = |setting: &Setting| {
        let Setting { name, reason, .. } = *setting;
        let in_the_stack = IN_THE_STACK.iter().find(|(variable, _)| *variable == name);
        let (name, value) = match (setting.value, in_the_stack) {
            (SettingValue::Asked, Some((_, service))) => (name.to_owned(), format!("${{{name}:-{service}}}")),
            (SettingValue::Asked, None) => (name.to_owned(), format!("${{{name}:?{reason}}}")),
            (SettingValue::Default(value), _) => (name.to_owned(), format!("${{{name}:-{value}}}")),
            (SettingValue::Secret, _) => (format!("{name}_FILE"), format!("/run/secrets/{}", secret_name(setting))),
        };
        let comment = if value.contains(reason) { String::new() } else { format!("  # {reason}") };
        format!("{name}: \"{value}\"{comment}")
    };
    settings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The names of the secrets among settings, as a service of the stack names them.
fn secrets(settings: &[&[Setting]]) -> Vec<String> {
    let secrets = settings.iter().copied().flatten().filter(|setting| setting.value == SettingValue::Secret);
    secrets.map(secret_name).collect()
}

fn secret_name(setting: &Setting) -> String {
    setting.name.to_lowercase()
}

fn list(secrets: &[String]) -> String {
    secrets.iter().map(|name| format!("- {name}")).collect::<Vec<_>>().join("\n")
}

fn secret_names(secrets: &[String]) -> String {
    let entry = |name| format!("{name}:\n  external: true\n  name: \"${{SECRETS:-trm}}_{name}\"");
    secrets.iter().map(entry).collect::<Vec<_>>().join("\n")
}

fn volumes() -> String {
    let mount = |path: &contract::WritablePath| {
        let mount = match path.storage {
            Storage::Scratch(size) => {
                format!("- type: tmpfs\n  target: {}\n  tmpfs:\n    size: {}  # {size} MiB", path.path, size << 20)
            }
            Storage::Shared => format!("- type: volume\n  source: {}\n  target: {}", path.name, path.path),
        };
        format!("# {}.\n{mount}", capitalized(path.content))
    };
    RUNTIME.writable.iter().map(mount).collect::<Vec<_>>().join("\n")
}

fn capitalized(phrase: &str) -> String {
    let mut letters = phrase.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The description of the image as YAML, which includes JSON: one key per line, and compact values.
fn chart_data() -> String {
    let probe = |probe: &ProbeSpec| {
        json!({
            "command": probe.command(),
            "periodSeconds": probe.interval,
            "timeoutSeconds": probe.timeout,
            "failureThreshold": probe.failures,
        })
    };
    let [startup, ready, live] = &RUNTIME.probes;
    let writable = RUNTIME.writable.iter().map(|path| match path.storage {
        Storage::Scratch(size) => json!({ "name": path.name, "path": path.path, "sizeLimit": format!("{size}Mi") }),
        Storage::Shared => json!({ "name": path.name, "path": path.path }),
    });
    let data = [
        ("port", json!(RUNTIME.port)),
        ("pingPath", json!(contract::PING_PATH)),
        ("user", json!(RUNTIME.user)),
        ("group", json!(RUNTIME.group)),
        ("startBudgetSeconds", json!(START_BUDGET)),
        ("stopGraceSeconds", json!(RUNTIME.stop_grace)),
        ("startupProbe", probe(startup)),
        ("readinessProbe", probe(ready)),
        ("livenessProbe", probe(live)),
        ("writable", writable.collect()),
        (
            "requests",
            json!({ "cpu": format!("{}m", RUNTIME.cpu_floor), "memory": format!("{}Mi", RUNTIME.memory_floor) }),
        ),
        ("limits", json!({ "memory": format!("{}Mi", RUNTIME.memory_limit) })),
        ("settings", settings(RUNTIME.settings)),
        ("replicas", settings(RUNTIME.replicas)),
        ("bucket", settings(RUNTIME.bucket)),
        ("drain", settings(RUNTIME.drain)),
    ];
    let notice = "# Written by `cargo xtask docs` from the description of the image; the templates read it.\n";
    data.iter().fold(notice.to_owned(), |text, (key, value)| format!("{text}{key}: {value}\n"))
}

/// The settings as objects: `default` of those that have one, `secret` of secrets.
fn settings(settings: &[Setting]) -> Value {
    let setting = |setting: &Setting| match setting.value {
        SettingValue::Asked => json!({ "name": setting.name }),
        SettingValue::Default(value) => json!({ "name": setting.name, "default": value }),
        SettingValue::Secret => json!({ "name": setting.name, "secret": true }),
    };
    settings.iter().map(setting).collect()
}

#[cfg(test)]
mod tests {
    use super::{capitalized, fill};

    #[test]
    fn lines_of_a_placeholder_are_indented_like_it() {
        let placeholders = [("a", "one\ntwo".to_owned()), ("b", "3".to_owned())];
        let filled = fill("x:\n  @a@\ny: @b@/@b@\n", &placeholders).unwrap();
        assert!(filled.ends_with("x:\n  one\n  two\ny: 3/3\n"), "{filled}");
    }

    #[test]
    fn an_unknown_placeholder_is_an_error() {
        let error = fill("x: @no-such@\n", &[]).unwrap_err();
        assert!(error.to_string().contains("@no-such@"), "{error}");
        assert!(fill("x: a@example.com\n", &[]).is_ok());
    }

    #[test]
    fn a_phrase_becomes_a_sentence() {
        assert_eq!(capitalized("the server"), "The server");
    }
}
