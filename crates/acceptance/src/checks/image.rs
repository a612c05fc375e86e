//! What the image is made of, and how it runs a command that is no boot.

use std::rc::Rc;

use anyhow::{Context as _, bail, ensure};
use contract::{self, ExitCode, LogLine};

use crate::case::Case;
use crate::check::{Check, Need, NotRun};
use crate::leaks;
use crate::setting::Setting;
use testbed::base_images::BaseImage;
use testbed::dockerfile;
use testbed::engine::{ContainerSpec, FileContent, ImageInfo, Layer, LayerFile};
use testbed::image::inspection;
use testbed::image::ownership::Files;
use testbed::image::size::{self, Size};
use testbed::image::upstream;
use testbed::image::variant;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "size",
        promise: "The image adds at most 5 MB to its base, and 30 MB of Directus bundled and compiled.",
        needs: Need::Nothing,
        run: |case| Box::pin(size(case)),
    },
    Check {
        name: "user",
        promise: "The image runs as node, who can change nothing of what it is made of.",
        needs: Need::Nothing,
        run: |case| Box::pin(user(case)),
    },
    Check {
        name: "pin",
        promise: "The image is built on exactly one version of Directus, and its snapshot is of that version.",
        needs: Need::Nothing,
        run: |case| Box::pin(pin(case)),
    },
    Check {
        name: "upstream",
        promise: "Every file of the image is upstream's, unchanged, or one that our layers add; they replace none.",
        needs: Need::Nothing,
        run: |case| Box::pin(is_upstream(case)),
    },
    Check {
        name: "compiled",
        promise: "What a start imports of Directus is compiled in the image, for its Node and its sources; a read-only root can use it.",
        needs: Need::Nothing,
        run: |case| Box::pin(compiled(case)),
    },
    Check {
        name: "no-shell-script",
        promise: "The image adds no shell script; what boots it is one static binary of at most 2.8 MB.",
        needs: Need::Nothing,
        run: |case| Box::pin(no_shell_script(case)),
    },
    Check {
        name: "no-secret-in-image",
        promise: "No secret is in the image's layers, history, variables or labels.",
        needs: Need::Nothing,
        run: |case| Box::pin(no_secret(case)),
    },
    Check {
        name: "command",
        promise: "`docker run IMAGE id` runs id as node without a boot, and exit codes are passed on.",
        needs: Need::Nothing,
        run: |case| Box::pin(command(case)),
    },
];

/// What the boot binary may have, in bytes.
const BINARY_LIMIT: usize = 2_800_000;

async fn size(case: &mut Case) -> anyhow::Result<()> {
    let base = base(case).await?;
    let (engine, image) = (&case.setting.engine, &case.setting.subject.image);
    let sizes = size::measure(engine, image, &base.name).await?;
    case.figure("image", ui::size(sizes.size_bytes));
    case.figure("upstream's", ui::size(base.info.size));
    case.figure("base", ui::size(sizes.base_bytes));
    case.figure("bundle", ui::size(sizes.bundle_bytes));
    case.figure("ours", ui::size(sizes.ours_bytes));
    for layer in &sizes.layers {
        case.figure(&layer.instruction, ui::size(layer.size_bytes));
    }
    match size::judge(&sizes, None) {
        Size::Fine => {}
        // That is the base's doing.
        Size::Large(text) => case.figure("note", text),
        Size::TooLarge(text) => bail!(text),
    }
    Ok(())
}

async fn user(case: &mut Case) -> anyhow::Result<()> {
    let (engine, run, image) = (&case.setting.engine, &case.setting.run, &case.setting.subject.image);
    let files = Files::new(contents(case).await?.iter().map(|file| file.entry.clone()).collect());
    let checks = inspection::inspect(engine, run, image, files, async || added_files(case).await).await?;
    let deviations: Vec<String> =
        checks.iter().filter(|check| !check.ok).map(|check| format!("{}: {}", check.promise, check.evidence)).collect();
    for check in checks {
        case.figure(check.promise, check.evidence);
    }
    ensure!(deviations.is_empty(), "{}", deviations.join("; "));
    Ok(())
}

async fn pin(case: &mut Case) -> anyhow::Result<()> {
    let base = case.setting.subject.base.clone();
    case.figure("base", &base);
    let version = exact_version(&base)?;
    let wanted = BaseImage::directus()?;
    let (pin, stand_in) = (dockerfile::argument("DIRECTUS_IMAGE")?, wanted.stand_in());
    ensure!(base == pin || base == stand_in, "the base is {base}, and the Dockerfile says {pin}");
    // The label could say anything; the layers do not. Those of a slim image: see `upstream`.
    let (engine, image) = (&case.setting.engine, &case.setting.subject.image);
    variant::base_layers(engine, image, &self::base(case).await?.name).await?;
    let script = "const { readFileSync } = require('node:fs'); \
                  const [, snapshot] = /^directus: *(\\S+)/m.exec(readFileSync(process.argv[2], 'utf8')) ?? []; \
                  console.log(`${require(process.argv[1]).version} ${snapshot}`)";
    let package = format!("{}/package.json", contract::WORK_DIR);
    let seen = run_in(case, &["node", "-e", script, &package, contract::SNAPSHOT_FILE]).await?;
    let (directus, snapshot) = seen.1.split_once(' ').with_context(|| format!("node says `{}`", seen.1))?;
    case.figure("Directus", directus);
    case.figure("snapshot of Directus", snapshot);
    ensure!(directus == version, "the base is pinned to {version}, and the Directus in it is {directus}");
    ensure!(snapshot == version, "the snapshot is of Directus {snapshot}, and the image has {version}");
    Ok(())
}

async fn is_upstream(case: &mut Case) -> anyhow::Result<()> {
    let base = base(case).await?;
    let Setting { engine, run, .. } = &*case.setting;
    let (added, image, upstream) =
        tokio::try_join!(added_files(case), contents(case), engine.contents(run, &base.name))?;
    let added = added.iter().map(|file| file.entry.path.as_str()).collect();
    let comparison = upstream::compare(&image, &upstream, &added);
    case.figure("paths of upstream's, unchanged", comparison.same.to_string());
    case.figure("left out", comparison.left_out.to_string());
    case.figure("files that are added", added.len().to_string());
    let deviations = |what: &str, paths: &[String]| {
        let more = if paths.len() > 3 { format!(" and {} more", paths.len() - 3) } else { String::new() };
        let shown = paths[..paths.len().min(3)].join(", ");
        format!("{what}: {shown}{more}")
    };
    ensure!(comparison.changed.is_empty(), "{}", deviations("upstream's, but changed", &comparison.changed));
    ensure!(comparison.unknown.is_empty(), "{}", deviations("nobody's", &comparison.unknown));
    ensure!(comparison.same > 0, "nothing of it is upstream's");
    Ok(())
}

async fn compiled(case: &mut Case) -> anyhow::Result<()> {
    /// What Directus looks at when it is imported; nothing is connected to.
    const VARIABLES: &str = "{ DB_CLIENT: 'pg', DB_HOST: 'none', DB_PORT: '1', DB_DATABASE: 'none', DB_USER: 'none', \
                             LOG_LEVEL: 'silent', SECRET: 'none', TELEMETRY: 'false' }";
    let directus = format!("{}/directus.mjs", contract::SCRIPTS_DIR);
    let script = format!(
        "Object.assign(process.env, {VARIABLES}); const {{ load }} = await import('{directus}'); \
         await load('server.js'); await load('services/collections.js'); process.exit(0)"
    );
    // Node's own account of what it does with its compile cache.
    let node = ["env", "NODE_DEBUG_NATIVE=COMPILE_CACHE", "node", "--input-type=module", "-e", &script];
    let (code, said) = run_in(case, &node).await?;
    let reason = said.lines().find(|line| line.contains("Error")).unwrap_or(said.trim());
    ensure!(code == 0, "Directus cannot be imported: {reason}");
    let (read, anew) = compile_cache(&said);
    case.figure("modules that were compiled before", read.to_string());
    case.figure("modules that are compiled at every start", anew.len().to_string());
    ensure!(read > 0, "Node looks for no compiled module");
    ensure!(anew.is_empty(), "{} modules are not what was compiled, or never were: {}", anew.len(), anew[0]);
    Ok(())
}

/// How many modules Node took from its compile cache, and what it says of those that it did not.
fn compile_cache(said: &str) -> (usize, Vec<&str>) {
    let lines = said.lines().filter_map(|line| line.strip_prefix("[compile cache] "));
    let (read, other): (Vec<&str>, Vec<&str>) = lines
        .filter(|line| line.starts_with("reading cache from ") || line.ends_with(" was rejected"))
        .partition(|line| line.contains("... success, size="));
    (read.len(), other)
}

/// The version that an image's tag names in full.
fn exact_version(image: &str) -> anyhow::Result<&str> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let tag = name.rsplit('/').next().unwrap_or(name).split_once(':').map_or("latest", |(_, tag)| tag);
    let parts: Vec<&str> = tag.split('.').collect();
    let is_exact = parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok());
    ensure!(is_exact, "the base `{image}` is not pinned: its tag is no full version");
    Ok(tag)
}

async fn no_shell_script(case: &mut Case) -> anyhow::Result<()> {
    let files = added_files(case).await?;
    let info = subject(case).await?;
    ensure!(info.entrypoint == [contract::BINARY], "the entry point is {:?}", info.entrypoint);
    let form = info.health_command.first().map_or("none", String::as_str);
    ensure!(form == "CMD", "the health check needs a shell or is not there ({form})");
    let is_there = |file: &&LayerFile| file.entry.path == contract::BINARY;
    let binary = files.iter().rfind(is_there).with_context(|| format!("{} is not added", contract::BINARY))?;
    case.figure("files that are added", files.len().to_string());
    case.figure("boot binary", ui::size(binary.content.len() as u64));
    let scripts: Vec<&str> =
        files.iter().filter(|file| is_shell_script(&file.entry.path, &file.content)).map(|f| &*f.entry.path).collect();
    ensure!(scripts.is_empty(), "shell scripts are added: {}", scripts.join(", "));
    let elf = static_elf(&binary.content).map_err(|reason| anyhow::anyhow!("{} is {reason}", contract::BINARY))?;
    case.figure("its kind", elf);
    let size = binary.content.len();
    ensure!(
        size < BINARY_LIMIT,
        "the boot binary has {}, over {}: build the image with --release",
        ui::size(size as u64),
        ui::size(BINARY_LIMIT as u64)
    );
    Ok(())
}

fn is_shell_script(path: &str, content: &[u8]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let shells = ["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"];
    let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let interpreter = first.strip_prefix(b"#!").map(String::from_utf8_lossy).unwrap_or_default();
    // `/bin/sh -e`, `/usr/bin/env bash`, `/usr/bin/env -S bash -e`
    let mut words = interpreter.split(|c: char| c.is_whitespace() || c == '/');
    [".sh", ".bash"].iter().any(|end| name.ends_with(end)) || words.any(|word| shells.contains(&word))
}

/// What kind of static program it is, or why it is none: by its header, and that no loader is asked for.
fn static_elf(file: &[u8]) -> Result<&'static str, &'static str> {
    const PROGRAM_INTERPRETER: u64 = 3;
    let number = |at: usize, bytes: usize| {
        let bytes = file.get(at..at.checked_add(bytes)?)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    if !file.starts_with(b"\x7fELF") {
        return Err("no ELF binary");
    }
    if file.get(4..6) != Some(&[2, 1]) {
        return Err("no 64-bit little-endian binary");
    }
    let headers = || {
        let (start, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
        (0..count).map(|index| number(usize::try_from(start + index * size).ok()?, 4)).collect::<Option<Vec<u64>>>()
    };
    let types = headers().ok_or("cut off")?;
    if types.contains(&PROGRAM_INTERPRETER) {
        return Err("dynamically linked");
    }
    match number(0x10, 2) {
        Some(2) => Ok("static"),
        Some(3) => Ok("static, position-independent"),
        _ => Err("no program"),
    }
}

async fn no_secret(case: &mut Case) -> anyhow::Result<()> {
    let files = added_files(case).await?;
    let (info, base) = (subject(case).await?, base(case).await?);
    let engine = &case.setting.engine;
    let image = &case.setting.subject.image;
    let of_base = variant::base_layers(engine, image, &base.name).await?.history;
    let ours = engine.history(image).await?.split_off(of_base);
    let mut found = Vec::new();
    for LayerFile { entry, content } in files.iter() {
        found.extend(leaks::in_file(&entry.path, content).map(|what| format!("{}: {what}", entry.path)));
    }
    for Layer { instruction, .. } in &ours {
        found.extend(leaks::in_text(instruction).map(|what| format!("history: {what}")));
    }
    let variables: Vec<&String> = info.environment.iter().filter(|it| !base.info.environment.contains(it)).collect();
    for variable in &variables {
        found.extend(leaks::in_variable(variable).map(|what| format!("variables: {what}")));
    }
    for (name, value) in &info.labels {
        found.extend(leaks::in_variable(&format!("{name}={value}")).map(|what| format!("labels: {what}")));
    }
    case.figure("files searched", files.len().to_string());
    case.figure("instructions searched", ours.len().to_string());
    case.figure("variables searched", variables.len().to_string());
    case.figure("labels searched", info.labels.len().to_string());
    ensure!(found.is_empty(), "{}", found.join("; "));
    Ok(())
}

async fn command(case: &mut Case) -> anyhow::Result<()> {
    let (code, said) = run_in(case, &["id"]).await?;
    case.line(format!("docker run IMAGE id: {said}"));
    ensure!(code == 0, "`id` ended with {code}: {said}");
    ensure!(said.starts_with("uid=1000(node) gid=1000(node)"), "`id` says `{said}`");
    no_boot("id", &said)?;

    let (code, said) = run_in(case, &["help"]).await?;
    ensure!(code == 0, "`help` ended with {code}: {said}");
    ensure!(said.contains("Usage: entrypoint"), "`help` says `{said}`");
    no_boot("help", &said)?;

    let not_found = i64::from(ExitCode::NotFound.code());
    for (command, expected) in [
        (&["no-such-command"][..], not_found),
        (&["node", "-e", "process.exit(7)"][..], 7),
        (&["--no-such-option"], i64::from(ExitCode::Usage.code())),
    ] {
        let (code, said) = run_in(case, command).await?;
        let text = command.join(" ");
        case.figure(format!("exit code of `{text}`"), code.to_string());
        ensure!(code == expected, "`{text}` ended with {code}, not {expected}: {said}");
        no_boot(&text, &said)?;
    }
    Ok(())
}

fn no_boot(command: &str, said: &str) -> anyhow::Result<()> {
    let boot = said.lines().find(|line| LogLine::parse(line).is_some());
    boot.map_or(Ok(()), |line| bail!("`{command}` boots: {line}"))
}

/// Runs a command as somebody would who gives no variables, hardened as in production.
async fn run_in(case: &Case, command: &[&str]) -> anyhow::Result<(i64, String)> {
    let spec = ContainerSpec {
        image: case.setting.subject.image.clone(),
        command: Some(command.iter().map(|&word| word.to_owned()).collect()),
        hardened: true,
        ..ContainerSpec::default()
    };
    case.setting.engine.run_to_end(&case.setting.run, spec).await
}

/// The image's base, which is here.
struct Base {
    name: String,
    info: ImageInfo,
}

/// Nothing can be compared with a base that is not here.
async fn base(case: &Case) -> anyhow::Result<Base> {
    let name = case.setting.subject.base.clone();
    ensure!(!name.is_empty(), "the image has no label that names its base");
    match case.setting.engine.image(&name).await? {
        Some(info) => Ok(Base { name, info }),
        None => Err(NotRun(format!("the image's base {name} is not here; `docker pull {name}`")).into()),
    }
}

async fn subject(case: &Case) -> anyhow::Result<ImageInfo> {
    let image = &case.setting.subject.image;
    case.setting.engine.image(image).await?.with_context(|| format!("there is no image {image}"))
}

/// Every path of the image, with what is in it; read once, also for other checks.
async fn contents(case: &Case) -> anyhow::Result<Rc<Vec<FileContent>>> {
    let Setting { engine, run, subject, contents, .. } = &*case.setting;
    let read = async { anyhow::Ok(Rc::new(engine.contents(run, &subject.image).await?)) };
    Ok(Rc::clone(contents.get_or_try_init(|| read).await?))
}

/// The files of the layers that the image adds to its base; read once, also for other checks.
async fn added_files(case: &Case) -> anyhow::Result<Rc<Vec<LayerFile>>> {
    let (base, setting) = (base(case).await?, &case.setting);
    let read = async {
        anyhow::Ok(Rc::new(inspection::added_files(&setting.engine, &setting.subject.image, &base.name).await?))
    };
    Ok(Rc::clone(setting.added_files.get_or_try_init(|| read).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_not_what_was_compiled_is_told_from_one_that_is() {
        let said = "[compile cache] reading cache from /c/a for ESM file:///a.js...[1 2 3 4 5]... success, size=9\n\
                    [compile cache] cache for file:///a.js was accepted, keeping the in-memory entry\n\
                    [compile cache] reading cache from /c/b for ESM file:///b.js...[1 2 3 4 5]... code hash mismatch\n\
                    something else";
        let (read, anew) = compile_cache(said);
        assert_eq!(read, 1);
        assert_eq!(anew, ["reading cache from /c/b for ESM file:///b.js...[1 2 3 4 5]... code hash mismatch"]);
    }

    #[test]
    fn only_a_full_version_is_a_pin() {
        assert_eq!(exact_version("directus/directus:11.17.4").unwrap(), "11.17.4");
        assert_eq!(exact_version("host:5000/directus:11.17.4@sha256:ab").unwrap(), "11.17.4");
        for name in
            ["directus/directus", "directus/directus:11", "directus:11.17", "d:latest", "host:5000/d", "d:11.x.4"]
        {
            assert!(exact_version(name).is_err(), "{name}");
        }
    }

    #[test]
    fn shell_scripts_are_known_by_name_and_first_line() {
        for (path, content) in [
            ("/a.sh", ""),
            ("/a", "#!/bin/sh\n"),
            ("/a", "#!/bin/bash -e\n"),
            ("/a", "#!/usr/bin/env -S bash -e\n"),
            ("/a", "#! /bin/busybox sh\n"),
        ] {
            assert!(is_shell_script(path, content.as_bytes()), "{path} {content}");
        }
        for (path, content) in [("/a.mjs", "#!/usr/bin/env node\n"), ("/a.sql", "-- sh\n"), ("/crash", "x\n#!/bin/sh")]
        {
            assert!(!is_shell_script(path, content.as_bytes()), "{path} {content}");
        }
    }

    /// A header with program headers of these types.
    fn elf(kind: u8, types: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[0x10] = kind;
        file[0x20] = 64;
        file[0x36] = 56;
        file[0x38] = u8::try_from(types.len()).unwrap();
        for kind in types {
            let mut header = [0; 56];
            header[0] = *kind;
            file.extend(header);
        }
        file
    }

    #[test]
    fn a_static_binary_asks_for_no_loader() {
        assert_eq!(static_elf(&elf(2, &[1, 1])), Ok("static"));
        assert_eq!(static_elf(&elf(3, &[1, 2])), Ok("static, position-independent"));
        assert_eq!(static_elf(&elf(3, &[6, 3, 1])), Err("dynamically linked"));
        assert_eq!(static_elf(&elf(2, &[1, 1])[..100]), Err("cut off"));
        assert_eq!(static_elf(b"#!/bin/sh\n"), Err("no ELF binary"));
    }
}
