//! The steps of the workflow that publish the image, run by bash as a runner does, against a registry with a password.
//!
//! `cargo xtask test` runs this test; `cargo xtask setup --yes` obtains the registry's image and jq. The steps push
//! images of a few bytes, and read a report of the type that the acceptance gate writes.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use acceptance::model::{EngineMachine, Summary, TestedImage, VerifyReport};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use camino::Utf8PathBuf;
use serde_json::Value;
use testbed::base_images::BaseImage;
use testbed::cmd::Cmd;
use testbed::engine::{ContainerSpec, Engine};
use testbed::registry::{Registry, RegistryManifest};
use testbed::session::EngineSession;
use testbed::workspace;

const WORKFLOW: &str = ".github/workflows/image.yml";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The variable has the spelling of an owner and a repository, which may have capitals; images have none.
const IMAGE_NAME: &str = "Team/TRM";
const REPOSITORY: &str = "team/trm";
const USER: &str = "publisher";
const PASSWORD: &str = "hunter2-registry";
/// The password's bcrypt hash, the only kind that the registry accepts.
const HTPASSWD: &str = "publisher:$2b$04$hPq8MbF2CXJJBjKa7YnerODAdyYI6f9vXtb95AUSmF66BKaZm4tgW\n";
const HTPASSWD_FILE: &str = "/etc/docker/registry/htpasswd";

#[test]
fn the_steps_publish_exactly_the_verified_images_and_refuse_all_others() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let test = PublishTest::begin().await;
        let (amd64, arm64) = (test.build("amd64").await, test.build("arm64").await);
        test.refuse(&amd64).await;
        test.publish_one_platform(&amd64).await;
        test.publish_two_platforms(&amd64, &arm64).await;
    });
}

struct PublishTest {
    engine: Engine,
    session: EngineSession,
    registry: Registry,
    /// The runner's work folder and its folder for temporary files.
    folder: tempfile::TempDir,
    workflow: Value,
}

impl PublishTest {
    async fn begin() -> PublishTest {
        let engine = Engine::connect().await.unwrap();
        let image = BaseImage::registry().resolve(&engine).await.unwrap();
        let session = EngineSession::start(&engine, "publish").await.unwrap();
        let variables = [
            ("REGISTRY_AUTH", "htpasswd"),
            ("REGISTRY_AUTH_HTPASSWD_REALM", "test"),
            ("REGISTRY_AUTH_HTPASSWD_PATH", HTPASSWD_FILE),
        ];
        let spec = ContainerSpec {
            image: image.name,
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            port: Some(5000),
            files: vec![(HTPASSWD_FILE.to_owned(), HTPASSWD.as_bytes().to_vec())],
            ..ContainerSpec::default()
        };
        let id = engine.create(&session, spec).await.unwrap();
        engine.start(&id).await.unwrap();
        let registry = Registry::at(engine.published_port(&id, 5000).await.unwrap());
        registry.wait().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["target/verify", "tmp"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let workflow = std::fs::read_to_string(workspace::path(WORKFLOW)).unwrap();
        PublishTest { engine, session, registry, folder, workflow: serde_saphyr::from_str(&workflow).unwrap() }
    }

    /// Builds an image for a platform, and returns its id. The session removes it with all its names.
    async fn build(&self, architecture: &str) -> String {
        let context = Utf8PathBuf::from_path_buf(self.folder.path().join(architecture)).unwrap();
        std::fs::create_dir(&context).unwrap();
        std::fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
        let name = format!("{}:{architecture}", self.session.id());
        let label = format!("{}={}", EngineSession::LABEL, self.session.id());
        Cmd::new("docker")
            .args(["buildx", "build", "--quiet", "--load", "--provenance=false"])
            .args(["--platform", &format!("linux/{architecture}"), "--label", &label, "--tag", &name, context.as_str()])
            .env("BUILDX_BUILDER", "default")
            .run()
            .await
            .unwrap();
        self.engine.image(&name).await.unwrap().unwrap().id
    }

    /// The step Push ends without a push.
    async fn refuse(&self, id: &str) {
        let good = complete_pass(id);
        let failed = VerifyReport { ok: false, ..good.clone() };
        let skipped = VerifyReport { summary: Summary { not_run: 1, ..good.summary }, ..good.clone() };
        let stand_in_base =
            VerifyReport { subject: TestedImage { base_is_stand_in: true, ..good.subject.clone() }, ..good.clone() };
        let stand_in_database = VerifyReport {
            subject: TestedImage { database_is_stand_in: true, ..good.subject.clone() },
            ..good.clone()
        };
        let incomplete = "::error title=nothing is pushed::target/verify/report.json is not a complete pass";
        for report in [failed, skipped, stand_in_base, stand_in_database] {
            expect_refusal(&self.push("amd64", &report, PASSWORD), incomplete);
        }
        let other_platform = "::error title=nothing is pushed::this runner built an image for amd64, not for arm64";
        expect_refusal(&self.push("arm64", &good, PASSWORD), other_platform);
        expect_refusal(&self.push("amd64", &good, "wrong"), "401");
        let missing = complete_pass("sha256:0000000000000000000000000000000000000000000000000000000000000000");
        expect_refusal(&self.push("amd64", &missing, PASSWORD), "No such image");
        let without_registry = self.run("image", "Push", &[("PLATFORM", "amd64"), ("REGISTRY", "")]);
        assert!(text(&without_registry).starts_with("::warning title=nothing is pushed::"), "{without_registry:?}");
        assert!(without_registry.status.success());
        for tag in ["main", COMMIT, &format!("{COMMIT}-amd64"), &format!("{COMMIT}-arm64")] {
            assert_eq!(self.manifest(tag).await, None, "{tag}");
        }
    }

    async fn publish_one_platform(&self, amd64: &str) {
        expect_success(&self.push("amd64", &complete_pass(amd64), PASSWORD));
        expect_success(&self.list(""));
        self.expect_list(&[("amd64", amd64)]).await;
    }

    async fn publish_two_platforms(&self, amd64: &str, arm64: &str) {
        for (platform, id) in [("amd64", amd64), ("arm64", arm64)] {
            expect_success(&self.push(platform, &complete_pass(id), PASSWORD));
        }
        expect_success(&self.list("ubuntu-24.04-arm"));
        self.expect_list(&[("amd64", amd64), ("arm64", arm64)]).await;
    }

    /// The list of the commit and `main` are one list of the pushed images, which are those with these ids.
    async fn expect_list(&self, images: &[(&str, &str)]) {
        let list = self.manifest(COMMIT).await.expect("a list");
        let mut pushed = BTreeSet::new();
        for (platform, id) in images {
            let image = self.manifest(&format!("{COMMIT}-{platform}")).await.expect("an image");
            assert!(image.is_of(id), "{platform}: pushed {image:?} instead of {id}");
            pushed.insert((image.digest, format!("linux/{platform}")));
        }
        let entries = list.content["manifests"].as_array().expect("a list of manifests").iter();
        let listed: Vec<(String, String)> = entries
            .map(|entry| {
                let platform = &entry["platform"];
                let platform = [&platform["os"], &platform["architecture"]].map(|part| part.as_str().unwrap());
                (entry["digest"].as_str().unwrap().to_owned(), platform.join("/"))
            })
            .collect();
        assert_eq!(listed.len(), images.len(), "{:?}", list.content);
        assert_eq!(BTreeSet::from_iter(listed), pushed);
        assert_eq!(self.manifest("main").await, Some(list));
    }

    async fn manifest(&self, reference: &str) -> Option<RegistryManifest> {
        let login = BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
        self.registry.manifest(REPOSITORY, reference, Some(&login)).await.unwrap()
    }

    fn push(&self, platform: &str, report: &VerifyReport, password: &str) -> Output {
        let path = self.folder.path().join("target/verify/report.json");
        std::fs::write(path, serde_json::to_vec(report).unwrap()).unwrap();
        let registry = self.registry.host();
        self.run("image", "Push", &[("PLATFORM", platform), ("REGISTRY", &registry), ("REGISTRY_PASSWORD", password)])
    }

    fn list(&self, arm64_runner: &str) -> Output {
        let registry = self.registry.host();
        let values = [("REGISTRY", registry.as_str()), ("REGISTRY_PASSWORD", PASSWORD), ("ARM64_RUNNER", arm64_runner)];
        self.run("publish", "List", &values)
    }

    /// Runs a step with the variables that it declares, and these values for those that differ between the cases.
    fn run(&self, job: &str, name: &str, values: &[(&str, &str)]) -> Output {
        let steps = self.workflow["jobs"][job]["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("{job} has no step {name}"));
        let script = self.folder.path().join("step.sh");
        std::fs::write(&script, step["run"].as_str().unwrap()).unwrap();
        let always = [("REGISTRY_USER", USER), ("REGISTRY_PASSWORD", PASSWORD), ("IMAGE_NAME", IMAGE_NAME)];
        let value =
            |name: &str| values.iter().chain(&always).find(|(known, _)| *known == name).map(|(_, value)| *value);
        let declared = step["env"].as_object().unwrap().keys();
        let variables = declared.map(|name| (name, value(name).unwrap_or_else(|| panic!("{name} is not known here"))));
        // As a runner does with `shell: bash`.
        let output = Command::new("bash")
            .args(["--noprofile", "--norc", "-e", "-o", "pipefail"])
            .arg(script)
            .current_dir(&self.folder)
            .envs(variables)
            .env("GITHUB_SHA", COMMIT)
            .env("TMPDIR", self.folder.path().join("tmp"))
            .output()
            .unwrap();
        let login = self.folder.path().join("tmp").read_dir().unwrap().next();
        assert!(login.is_none(), "{name} left {login:?}");
        output
    }
}

/// The report of a run in which every promise of an image was kept, on a real base and a real database.
fn complete_pass(id: &str) -> VerifyReport {
    VerifyReport {
        schema: VerifyReport::SCHEMA,
        run: "trm-run-verify-runner-1".to_owned(),
        began: "2026-06-06T10:00:00Z".to_owned(),
        seconds: 300.0,
        ok: true,
        subject: TestedImage {
            image: "trm-directus:dev".to_owned(),
            image_id: id.to_owned(),
            ..TestedImage::default()
        },
        machine: EngineMachine { engine: "20.10".to_owned(), cores: 2, jobs: 3 },
        summary: Summary { pass: 40, fail: 0, not_run: 0 },
        critical_path: Vec::new(),
        checks: Vec::new(),
    }
}

/// A failure with this reason and without the password.
fn expect_refusal(output: &Output, reason: &str) {
    let text = text(output);
    assert!(!output.status.success() && text.contains(reason), "{reason}: {} {text}", output.status);
    assert!(!text.contains(PASSWORD), "{text}");
}

fn expect_success(output: &Output) {
    assert!(output.status.success(), "{} {}", output.status, text(output));
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}
