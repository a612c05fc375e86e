//! The contents of the image, and commands other than a boot.

use std::rc::Rc;

use anyhow::{Context as _, bail, ensure};
use contract::{self, ADVISORIES, AdvisoryAnswer, ExitCode, LogLine, REVIEWED_ON, REVIEWED_PIN};

use crate::check::{Check, Need, NotRun};
use crate::sbom::{self, Inventory, Sbom};
use crate::secret_scan;
use crate::suite_context::SuiteContext;
use crate::test_context::TestContext;
use testbed::base_images::{BaseImage, Resolved};
use testbed::dockerfile;
use testbed::engine::{ContainerSpec, FileContent, ImageInfo, LayerFile};
use testbed::image::inspection;
use testbed::image::ownership::FileTree;
use testbed::image::rebuild;
use testbed::image::size::{self, SizeVerdict};
use testbed::image::upstream;
use testbed::image::variant;
use testbed::setup;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "size",
        promise: "The image adds at most 5 MB to its base, plus at most 30 MB of bundled and compiled Directus.",
        needs: Need::Nothing,
        run: |test| Box::pin(size(test)),
    },
    Check {
        name: "user",
        promise: "The image runs as the user node, which cannot change any file of the image.",
        needs: Need::Nothing,
        run: |test| Box::pin(user(test)),
    },
    Check {
        name: "pin",
        promise: "The image is built on an exact version of Directus, and its snapshot is from the same version.",
        needs: Need::Nothing,
        run: |test| Box::pin(pin(test)),
    },
    Check {
        name: "advisories",
        promise: "No critical advisory of the pinned Directus is without an answer, and dangerous settings are refused.",
        needs: Need::Nothing,
        run: |test| Box::pin(advisories(test)),
    },
    Check {
        name: "upstream",
        promise: "Every file of the image is either an unchanged file of upstream's image or added by our layers.",
        needs: Need::Nothing,
        run: |test| Box::pin(is_upstream(test)),
    },
    Check {
        name: "compiled",
        promise: "All modules that a start imports are precompiled in the image, and usable with a read-only root.",
        needs: Need::Nothing,
        run: |test| Box::pin(compiled(test)),
    },
    Check {
        name: "no-shell-script",
        promise: "The image adds no shell script and boots with one static binary of at most 2.9 MB.",
        needs: Need::Nothing,
        run: |test| Box::pin(no_shell_script(test)),
    },
    Check {
        name: "no-secret-in-image",
        promise: "The image's layers, history, variables and labels contain no secret.",
        needs: Need::Nothing,
        run: |test| Box::pin(no_secret(test)),
    },
    Check {
        name: "reproducible",
        promise: "A second build of the same commit, in another folder and without any cache, gives the same image.",
        needs: Need::Nothing,
        run: |test| Box::pin(reproducible(test)),
    },
    Check {
        name: "sbom",
        promise: "The bill of materials lists the crates, the distribution and every npm package that the server loads.",
        needs: Need::Nothing,
        run: |test| Box::pin(bill_of_materials(test)),
    },
    Check {
        name: "command",
        promise: "`docker run IMAGE id` runs `id` as node without a boot, and passes its exit code on.",
        needs: Need::Nothing,
        run: |test| Box::pin(command(test)),
    },
];

/// Maximum size of the boot binary, in bytes.
const BINARY_LIMIT: usize = 2_900_000;

async fn size(test: &mut TestContext) -> anyhow::Result<()> {
    let base = base(test).await?;
    let (engine, image) = (&test.suite.engine, &test.suite.subject.image);
    let sizes = size::measure(engine, image, &base.name).await?;
    let upstream = size::image_bytes(engine, &base.name).await?;
    test.figure("image", ui::size(sizes.size_bytes));
    test.figure("upstream's", ui::size(upstream));
    test.figure("base", ui::size(sizes.base_bytes));
    test.figure("bundle", ui::size(sizes.bundle_bytes));
    test.figure("ours", ui::size(sizes.ours_bytes));
    for layer in &sizes.layers {
        test.figure(&layer.instruction, ui::size(layer.size_bytes));
    }
    match size::check_limits(&sizes, None) {
        SizeVerdict::Fine => {}
        // Caused by the base.
        SizeVerdict::Large(text) => test.figure("note", text),
        SizeVerdict::TooLarge(text) => bail!(text),
    }
    Ok(())
}

async fn user(test: &mut TestContext) -> anyhow::Result<()> {
    let (engine, session, image) = (&test.suite.engine, &test.suite.session, &test.suite.subject.image);
    let files = FileTree::new(contents(test).await?.iter().map(|file| file.entry.clone()).collect());
    let checks = inspection::inspect(engine, session, image, files, async || added_files(test).await).await?;
    let deviations: Vec<String> =
        checks.iter().filter(|check| !check.ok).map(|check| format!("{}: {}", check.promise, check.evidence)).collect();
    for check in checks {
        test.figure(check.promise, check.evidence);
    }
    ensure!(deviations.is_empty(), "{}", deviations.join("; "));
    Ok(())
}

async fn pin(test: &mut TestContext) -> anyhow::Result<()> {
    let base = test.suite.subject.base.clone();
    test.figure("base", &base);
    let version = exact_version(&base)?;
    let (pin, stand_in) = (dockerfile::argument("DIRECTUS_IMAGE")?, BaseImage::directus()?.stand_in());
    ensure!(base == pin || base == stand_in, "the base is {base}, but the Dockerfile pins {pin}");
    // The label may be wrong; the layers prove the base. For those of a slim image see `upstream`.
    let (engine, image) = (&test.suite.engine, &test.suite.subject.image);
    variant::base_layers(engine, image, &self::base(test).await?.name).await?;
    let script = "const { readFileSync } = require('node:fs'); \
                  const [, snapshot] = /^directus: *(\\S+)/m.exec(readFileSync(process.argv[2], 'utf8')) ?? []; \
                  console.log(`${require(process.argv[1]).version} ${snapshot}`)";
    let package = format!("{}/package.json", contract::WORK_DIR);
    let (_, output) = run_in(test, &["node", "-e", script, &package, contract::SNAPSHOT_FILE]).await?;
    let (directus, snapshot) = output.split_once(' ').with_context(|| format!("node printed `{output}`"))?;
    test.figure("Directus", directus);
    test.figure("snapshot of Directus", snapshot);
    ensure!(directus == version, "the base is pinned to {version}, but contains Directus {directus}");
    ensure!(snapshot == version, "the snapshot is of Directus {snapshot}, but the image has {version}");
    Ok(())
}

async fn advisories(test: &mut TestContext) -> anyhow::Result<()> {
    let version = exact_version(&test.suite.subject.base)?;
    ensure!(version == REVIEWED_PIN, "the advisories were reviewed for Directus {REVIEWED_PIN}, the base is {version}");
    test.figure("reviewed", REVIEWED_ON);
    for advisory in ADVISORIES {
        test.figure(advisory.id, advisory.severity.name());
        ensure!(!advisory.is_open(), "{} is critical and has no answer", advisory.id);
        let AdvisoryAnswer::Refused { variables, value, .. } = advisory.answer else { continue };
        for name in variables {
            let mut spec = hardened(test, &["boot"]);
            spec.variables.push(((*name).to_owned(), value.to_owned()));
            let (code, output) = test.suite.engine.run_to_end(&test.suite.session, spec).await?;
            let expected = i64::from(ExitCode::Config.code());
            ensure!(code == expected, "a boot with {name}={value} ended with {code}, not {expected}: {output}");
            ensure!(output.contains(advisory.id), "a boot with {name}={value} does not name {}: {output}", advisory.id);
        }
    }
    Ok(())
}

async fn is_upstream(test: &mut TestContext) -> anyhow::Result<()> {
    let base = base(test).await?;
    let SuiteContext { engine, session, .. } = &*test.suite;
    let (added, image, upstream) =
        tokio::try_join!(added_files(test), contents(test), engine.contents(session, &base.name))?;
    let added = added.iter().map(|file| file.entry.path.as_str()).collect();
    let comparison = upstream::compare(&image, &upstream, &added);
    test.figure("unchanged paths of upstream", comparison.same.to_string());
    test.figure("omitted paths of upstream", comparison.left_out.to_string());
    test.figure("added files", added.len().to_string());
    let (changed, unknown) = (comparison.changed, comparison.unknown);
    ensure!(changed.is_empty(), "upstream's, but changed: {}", first_three(&changed));
    ensure!(unknown.is_empty(), "neither upstream's nor added: {}", first_three(&unknown));
    ensure!(comparison.same > 0, "the image has no path of upstream's");
    Ok(())
}

fn first_three(paths: &[String]) -> String {
    let more = if paths.len() > 3 { format!(" and {} more", paths.len() - 3) } else { String::new() };
    format!("{}{more}", paths[..paths.len().min(3)].join(", "))
}

async fn compiled(test: &mut TestContext) -> anyhow::Result<()> {
    let directus = format!("{}/directus.mjs", contract::SCRIPTS_DIR);
    let script = format!(
        "const {{ load }} = await import('{directus}'); await load('server.js'); await load('services/collections.js'); \
         process.exit(0)"
    );
    // Node logs its use of the compile cache.
    let output = import_directus(test, &["NODE_DEBUG_NATIVE=COMPILE_CACHE"], &[&script]).await?;
    let (hits, misses) = compile_cache(&output);
    test.figure("modules read from the compile cache", hits.to_string());
    test.figure("modules compiled at every start", misses.len().to_string());
    ensure!(hits > 0, "Node reads no module from the compile cache");
    ensure!(misses.is_empty(), "{} modules are not compiled or have changed since: {}", misses.len(), misses[0]);
    Ok(())
}

/// Runs a script, with arguments, that imports Directus: with the variables that Directus reads on import, which opens no
/// connection, and further ones. Returns the output.
async fn import_directus(test: &TestContext, variables: &[&str], script: &[&str]) -> anyhow::Result<String> {
    let read_on_import =
        ["DB_CLIENT=pg", "DB_HOST=none", "DB_PORT=1", "DB_DATABASE=none", "DB_USER=none", "SECRET=none"];
    let quiet = ["TELEMETRY=false", "LOG_LEVEL=silent"];
    let node = ["node", "--input-type=module", "-e"];
    let command = [&["env"], &read_on_import[..], &quiet, variables, &node, script].concat();
    let (code, output) = run_in(test, &command).await?;
    let reason = output.lines().find(|line| line.contains("Error")).unwrap_or(output.trim());
    ensure!(code == 0, "Directus cannot be imported: {reason}");
    Ok(output)
}

/// Number of modules that Node read from its compile cache, and its log lines about the others.
fn compile_cache(log: &str) -> (usize, Vec<&str>) {
    let lines = log.lines().filter_map(|line| line.strip_prefix("[compile cache] "));
    let (hits, misses): (Vec<&str>, Vec<&str>) = lines
        .filter(|line| line.starts_with("reading cache from ") || line.ends_with(" was rejected"))
        .partition(|line| line.contains("... success, size="));
    (hits.len(), misses)
}

/// The tag of an image, which must be a full version.
fn exact_version(image: &str) -> anyhow::Result<&str> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let tag = name.rsplit('/').next().unwrap_or(name).split_once(':').map_or("latest", |(_, tag)| tag);
    let parts: Vec<&str> = tag.split('.').collect();
    let is_exact = parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok());
    ensure!(is_exact, "the base `{image}` is not pinned: its tag is not a full version");
    Ok(tag)
}

async fn no_shell_script(test: &mut TestContext) -> anyhow::Result<()> {
    let files = added_files(test).await?;
    let info = subject(test).await?;
    ensure!(info.entrypoint == [contract::BINARY], "the entry point is {:?}", info.entrypoint);
    let form = info.health_command.first().map_or("none", String::as_str);
    ensure!(form == "CMD", "the health check needs a shell or is missing ({form})");
    let binary = boot_binary(&files)?;
    test.figure("added files", files.len().to_string());
    test.figure("boot binary", ui::size(binary.content.len() as u64));
    let scripts: Vec<&str> =
        files.iter().filter(|file| is_shell_script(&file.entry.path, &file.content)).map(|f| &*f.entry.path).collect();
    ensure!(scripts.is_empty(), "shell scripts are added: {}", scripts.join(", "));
    let elf = static_elf(&binary.content).map_err(|reason| anyhow::anyhow!("{} is {reason}", contract::BINARY))?;
    test.figure("linking of the boot binary", elf);
    let size = binary.content.len();
    ensure!(
        size < BINARY_LIMIT,
        "the boot binary has {size} bytes, more than {BINARY_LIMIT}: if the image was not built with --release, do that; \
         otherwise make the binary smaller",
    );
    Ok(())
}

/// The boot binary among the files that the image adds.
fn boot_binary(files: &[LayerFile]) -> anyhow::Result<&LayerFile> {
    let binary = files.iter().rfind(|file| file.entry.path == contract::BINARY);
    binary.with_context(|| format!("{} is not added", contract::BINARY))
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

/// The kind of a static program according to its ELF headers, or the reason why it is not one.
fn static_elf(file: &[u8]) -> Result<&'static str, &'static str> {
    const PROGRAM_INTERPRETER: u64 = 3;
    if !file.starts_with(b"\x7fELF") {
        return Err("not an ELF binary");
    }
    if file.get(4..6) != Some(&[2, 1]) {
        return Err("not a 64-bit little-endian binary");
    }
    let types = program_headers(file).ok_or("truncated")?;
    if types.contains(&PROGRAM_INTERPRETER) {
        return Err("dynamically linked");
    }
    match number(file, 0x10, 2) {
        Some(2) => Ok("static"),
        Some(3) => Ok("static, position-independent"),
        _ => Err("not a program"),
    }
}

/// The types of an ELF file's program headers; `None` if the file is truncated.
fn program_headers(file: &[u8]) -> Option<Vec<u64>> {
    let (start, size, count) = (number(file, 0x20, 8)?, number(file, 0x36, 2)?, number(file, 0x38, 2)?);
    (0..count).map(|index| number(file, usize::try_from(start + index * size).ok()?, 4)).collect()
}

/// The little-endian number of this many bytes at an offset.
fn number(file: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let bytes = file.get(at..at.checked_add(bytes)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

async fn no_secret(test: &mut TestContext) -> anyhow::Result<()> {
    let files = added_files(test).await?;
    let (info, base) = (subject(test).await?, base(test).await?);
    let engine = &test.suite.engine;
    let image = &test.suite.subject.image;
    let of_base = variant::base_layers(engine, image, &base.name).await?.history;
    let ours = engine.instructions(image).await?.split_off(of_base);
    let mut found = Vec::new();
    for LayerFile { entry, content } in files.iter() {
        found.extend(secret_scan::in_file(&entry.path, content).map(|secret| format!("{}: {secret}", entry.path)));
    }
    for instruction in &ours {
        found.extend(secret_scan::in_text(instruction).map(|secret| format!("history: {secret}")));
    }
    let variables: Vec<&String> = info.environment.iter().filter(|it| !base.info.environment.contains(it)).collect();
    for variable in &variables {
        found.extend(secret_scan::in_variable(variable).map(|secret| format!("variables: {secret}")));
    }
    for (name, value) in &info.labels {
        found.extend(secret_scan::in_variable(&format!("{name}={value}")).map(|secret| format!("labels: {secret}")));
    }
    test.figure("files searched", files.len().to_string());
    test.figure("instructions searched", ours.len().to_string());
    test.figure("variables searched", variables.len().to_string());
    test.figure("labels searched", info.labels.len().to_string());
    ensure!(found.is_empty(), "{}", found.join("; "));
    Ok(())
}

async fn reproducible(test: &mut TestContext) -> anyhow::Result<()> {
    let (engine, session) = (&test.suite.engine, &test.suite.session);
    let image = subject(test).await?;
    if let Err(reason) = rebuild::ensure_of_checkout(&image.labels).await {
        return Err(NotRun(format!("{reason:#}; check out that revision")).into());
    }
    let base = Resolved { name: base(test).await?.name, stand_in: test.suite.subject.base_is_stand_in };
    let name = rebuild::rebuild(session, &image, &base).await?;
    let rebuilt = rebuild::info(engine, &name).await?;
    let (first, second) = (rebuild::content_digest(&image), rebuild::content_digest(&rebuilt));
    let same = image.layers.iter().zip(&rebuilt.layers).filter(|(a, b)| a == b).count();
    let differences = if first == second {
        Vec::new()
    } else {
        upstream::differences(&contents(test).await?, &engine.contents(session, &name).await?)
    };
    engine.remove_image(&name).await?;
    test.figure("equal layers", format!("{same} of {}", image.layers.len()));
    test.figure("digest of the first build", &first);
    test.figure("digest of the second build", &second);
    ensure!(differences.is_empty(), "the second build differs: {}", first_three(&differences));
    ensure!(first == second, "the second build has the same files, but other layers or another configuration");
    Ok(())
}

async fn bill_of_materials(test: &mut TestContext) -> anyhow::Result<()> {
    let directus = format!("{}/directus.mjs", contract::SCRIPTS_DIR);
    let listed = import_directus(test, &[], &[sbom::INVENTORY, "--", "-", &directus]).await;
    let output = listed.context("the contents of the image cannot be listed")?;
    let inventory = Inventory::parse(&output)?;
    let files = added_files(test).await?;
    let binary = boot_binary(&files)?;
    let crates = sbom::crates(&binary.content, &setup::musl_target()).await?;
    let sbom = Sbom::new(&inventory, &crates);
    for kind in ["cargo", "npm", "deb", "apk"] {
        test.figure(format!("components `{kind}`"), sbom.count(kind).to_string());
    }
    test.figure("npm packages that the server loads from node_modules", inventory.opened.len().to_string());
    let unlisted = inventory.unlisted();
    ensure!(unlisted.is_empty(), "loaded, but without an entry: {}", first_three(&unlisted));
    ensure!(!inventory.opened.is_empty(), "the server loads no package from node_modules");
    for (kinds, what) in
        [(&["cargo"][..], "crate"), (&["npm"], "npm package"), (&["deb", "apk"], "package of the distribution")]
    {
        ensure!(kinds.iter().any(|kind| sbom.count(kind) > 0), "it lists no {what}");
    }
    let (folder, subject) = (crate::folder(), &test.suite.subject);
    let path = folder.join("sbom.cdx.json");
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {folder}"))?;
    let text = serde_json::to_string_pretty(&sbom.document(&subject.image, &subject.version))?;
    std::fs::write(&path, text).with_context(|| format!("failed to write {path}"))?;
    test.figure("document", "sbom.cdx.json");
    Ok(())
}

async fn command(test: &mut TestContext) -> anyhow::Result<()> {
    let (code, output) = run_in(test, &["id"]).await?;
    test.line(format!("docker run IMAGE id: {output}"));
    ensure!(code == 0, "`id` ended with {code}: {output}");
    ensure!(output.starts_with("uid=1000(node) gid=1000(node)"), "`id` printed `{output}`");
    expect_no_boot("id", &output)?;

    let (code, output) = run_in(test, &["help"]).await?;
    ensure!(code == 0, "`help` ended with {code}: {output}");
    ensure!(output.contains("Usage: entrypoint"), "`help` printed `{output}`");
    expect_no_boot("help", &output)?;

    let not_found = i64::from(ExitCode::NotFound.code());
    for (command, expected) in [
        (&["no-such-command"][..], not_found),
        (&["node", "-e", "process.exit(7)"][..], 7),
        (&["--no-such-option"], i64::from(ExitCode::Usage.code())),
    ] {
        let (code, output) = run_in(test, command).await?;
        let text = command.join(" ");
        test.figure(format!("exit code of `{text}`"), code.to_string());
        ensure!(code == expected, "`{text}` ended with {code}, not {expected}: {output}");
        expect_no_boot(&text, &output)?;
    }
    Ok(())
}

fn expect_no_boot(command: &str, output: &str) -> anyhow::Result<()> {
    let boot = output.lines().find(|line| LogLine::parse(line).is_some());
    boot.map_or(Ok(()), |line| bail!("`{command}` boots: {line}"))
}

/// Runs a command in a container without variables, hardened as in production.
async fn run_in(test: &TestContext, command: &[&str]) -> anyhow::Result<(i64, String)> {
    test.suite.engine.run_to_end(&test.suite.session, hardened(test, command)).await
}

fn hardened(test: &TestContext, command: &[&str]) -> ContainerSpec {
    ContainerSpec {
        image: test.suite.subject.image.clone(),
        command: Some(command.iter().map(|&word| word.to_owned()).collect()),
        hardened: true,
        ..ContainerSpec::default()
    }
}

/// The image's base, which is in the engine.
struct Base {
    name: String,
    info: ImageInfo,
}

/// Inspects the base; without it in the engine there is nothing to compare with.
async fn base(test: &TestContext) -> anyhow::Result<Base> {
    let name = test.suite.subject.base.clone();
    ensure!(!name.is_empty(), "the image has no label that names its base");
    match test.suite.engine.image(&name).await? {
        Some(info) => Ok(Base { name, info }),
        None => Err(NotRun(format!("the image's base {name} is not in the engine; run `docker pull {name}`")).into()),
    }
}

async fn subject(test: &TestContext) -> anyhow::Result<ImageInfo> {
    let image = &test.suite.subject.image;
    test.suite.engine.image(image).await?.with_context(|| format!("there is no image {image}"))
}

/// Every path of the image with its content; read once for all checks.
async fn contents(test: &TestContext) -> anyhow::Result<Rc<Vec<FileContent>>> {
    let SuiteContext { engine, session, subject, contents, .. } = &*test.suite;
    let read = async { anyhow::Ok(Rc::new(engine.contents(session, &subject.image).await?)) };
    Ok(Rc::clone(contents.get_or_try_init(|| read).await?))
}

/// The files of the layers that the image adds to its base; read once for all checks.
async fn added_files(test: &TestContext) -> anyhow::Result<Rc<Vec<LayerFile>>> {
    let (base, suite) = (base(test).await?, &test.suite);
    let read =
        async { anyhow::Ok(Rc::new(inspection::added_files(&suite.engine, &suite.subject.image, &base.name).await?)) };
    Ok(Rc::clone(suite.added_files.get_or_try_init(|| read).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_changed_since_they_were_compiled_are_found() {
        let log = "[compile cache] reading cache from /c/a for ESM file:///a.js...[1 2 3 4 5]... success, size=9\n\
                    [compile cache] cache for file:///a.js was accepted, keeping the in-memory entry\n\
                    [compile cache] reading cache from /c/b for ESM file:///b.js...[1 2 3 4 5]... code hash mismatch\n\
                    something else";
        let (hits, misses) = compile_cache(log);
        assert_eq!(hits, 1);
        assert_eq!(misses, ["reading cache from /c/b for ESM file:///b.js...[1 2 3 4 5]... code hash mismatch"]);
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
    fn shell_scripts_are_recognised_by_name_and_first_line() {
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

    /// An ELF file with program headers of these types.
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
    fn a_static_binary_has_no_loader() {
        assert_eq!(static_elf(&elf(2, &[1, 1])), Ok("static"));
        assert_eq!(static_elf(&elf(3, &[1, 2])), Ok("static, position-independent"));
        assert_eq!(static_elf(&elf(3, &[6, 3, 1])), Err("dynamically linked"));
        assert_eq!(static_elf(&elf(2, &[1, 1])[..100]), Err("truncated"));
        assert_eq!(static_elf(b"#!/bin/sh\n"), Err("not an ELF binary"));
    }
}
