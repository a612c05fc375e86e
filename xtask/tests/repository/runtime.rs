//! The description of the image at run time: the Dockerfile and the development stack, which repeat it, agree with it.

use contract::{BINARY, RUNTIME, START_BUDGET, Storage};
use serde_json::{Value, json};

use crate::{read, root};

/// The only instruction of this name in the Dockerfile.
fn instruction<'a>(dockerfile: &'a str, name: &str) -> &'a str {
    let mut found = dockerfile.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let instruction = found.next().unwrap_or_else(|| panic!("the Dockerfile has no {name}"));
    assert_eq!(found.next(), None, "the Dockerfile has a second {name}");
    instruction
}

#[test]
fn the_dockerfile_has_the_port_the_probe_and_the_user_of_the_description() {
    let dockerfile = read(&root().join("Dockerfile"));
    assert_eq!(instruction(&dockerfile, "EXPOSE"), RUNTIME.port.to_string());
    let [_, _, live] = RUNTIME.probes;
    let (options, command) = instruction(&dockerfile, "HEALTHCHECK").split_once(" CMD ").unwrap();
    let expected = format!(
        "--interval={}s --timeout={}s --start-period={START_BUDGET}s --retries={}",
        live.interval, live.timeout, live.failures
    );
    assert_eq!(options, expected);
    assert_eq!(serde_json::from_str::<Value>(command).unwrap(), json!(live.command()));
    assert_eq!(instruction(&dockerfile, "ENTRYPOINT"), json!([BINARY]).to_string());
    let owner = format!("install -d -o {} -g {} ", RUNTIME.user, RUNTIME.group);
    let uploads = RUNTIME.writable.iter().find(|path| path.storage == Storage::Shared).unwrap();
    assert!(dockerfile.contains(&format!("{owner}/ours/uploads{}", uploads.path)), "{owner}");
}

#[test]
fn the_development_stack_has_the_port_the_probe_and_the_paths_of_the_description() {
    let stack: Value = serde_saphyr::from_str(&read(&root().join("compose.dev.yaml"))).unwrap();
    let directus = &stack["services"]["directus"];
    let port = directus["ports"][0].as_str().unwrap();
    assert!(port.ends_with(&format!(":{}", RUNTIME.port)), "{port}");
    let [_, _, live] = RUNTIME.probes;
    let command: Vec<&str> = ["CMD"].into_iter().chain(live.command()).collect();
    assert_eq!(directus["healthcheck"]["test"], json!(command));
    assert_eq!(directus["healthcheck"]["timeout"], format!("{}s", live.timeout));
    assert_eq!((&directus["read_only"], &directus["cap_drop"]), (&json!(true), &json!(["ALL"])));
    let mounts = |key: &str| -> Vec<&str> {
        let mounts = directus[key].as_array().unwrap_or_else(|| panic!("no {key}"));
        mounts.iter().filter_map(Value::as_str).collect()
    };
    let (tmpfs, volumes) = (mounts("tmpfs"), mounts("volumes"));
    assert_eq!(tmpfs.len() + volumes.len(), RUNTIME.writable.len());
    for path in RUNTIME.writable {
        match path.storage {
            Storage::Scratch(_) => assert!(tmpfs.iter().any(|mount| mount.split(':').next() == Some(path.path))),
            Storage::Shared => assert!(volumes.contains(&format!("{}:{}", path.name, path.path).as_str())),
        }
    }
    for options in tmpfs.iter().filter_map(|mount| mount.split_once(':')).map(|(_, options)| options) {
        assert!(options.starts_with(&format!("uid={},gid={},", RUNTIME.user, RUNTIME.group)), "{options}");
    }
}
