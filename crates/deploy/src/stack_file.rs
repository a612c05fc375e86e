//! The stack file: its variables, its image, its secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use grammar::{FixedImage, SecretFile};
use serde::Deserialize;
use testbed::cmd::Cmd;
use testbed::{compose, ui, workspace};

use crate::swarm::{self, Swarm};

/// The stack file of a checkout.
const DEFAULT_FILE: &str = "deploy/stack.yaml";

/// Stack files with the variables that they read.
#[derive(Debug)]
pub(crate) struct StackFile {
    files: Vec<PathBuf>,
    variables: [(&'static str, String); 2],
    content: StackContent,
}

/// The part of a stack file that is read here.
#[derive(Debug, Deserialize)]
struct StackContent {
    #[serde(default)]
    services: BTreeMap<String, StackService>,
    #[serde(default)]
    secrets: BTreeMap<String, StackSecret>,
}

#[derive(Debug, Deserialize)]
struct StackService {
    #[serde(default)]
    image: String,
}

#[derive(Debug, Deserialize)]
struct StackSecret {
    /// The name in the swarm, if it is another one than in the file.
    name: Option<String>,
    /// True if the file does not create it.
    #[serde(default)]
    external: bool,
}

impl StackFile {
    /// Reads stack files as the docker command does, with an image.
    ///
    /// # Errors
    /// A file that cannot be read, a variable without a value, a file that does not use the image.
    pub(crate) async fn read(files: &[PathBuf], image: &FixedImage) -> anyhow::Result<StackFile> {
        let files = if files.is_empty() { vec![workspace::path(DEFAULT_FILE).into()] } else { absolute(files)? };
        let (name, tag) = image.parts();
        let variables = [("IMAGE", name.to_owned()), ("TAG", tag.to_owned())];
        let yaml = command(["stack", "config"], &files, &variables).read().await?;
        let content = StackContent::parse(&yaml)?;
        content.ensure_image(&image.name)?;
        Ok(StackFile { files, variables, content })
    }

    /// Creates the secrets that the swarm lacks and that are given. The others are an error.
    pub(crate) async fn ensure_secrets(&self, swarm: &Swarm, given: &[SecretFile]) -> anyhow::Result<()> {
        let existing = swarm.engine.secret_names().await?;
        for secret in self.content.plan_secrets(&existing, given)? {
            let file = std::path::absolute(&secret.file)?;
            // Without the label of the stack, with which `docker stack rm` would remove it.
            let create = ["secret", "create", &secret.name];
            swarm::run(Cmd::new("docker").args(create).arg(file)).await?;
            ui::status("Created", &format!("secret {}", secret.name));
        }
        Ok(())
    }

    /// Deploys the file.
    pub(crate) async fn deploy(&self, stack: &str) -> anyhow::Result<()> {
        let cmd = command(["stack", "deploy"], &self.files, &self.variables);
        swarm::run(cmd.args(["--with-registry-auth", stack])).await
    }
}

impl StackContent {
    fn parse(yaml: &str) -> anyhow::Result<StackContent> {
        serde_saphyr::from_str(yaml).context("failed to parse the output of `docker stack config`")
    }

    /// Returns an error if the service of our image has another one.
    fn ensure_image(&self, image: &str) -> anyhow::Result<()> {
        let service = self.services.get(compose::DIRECTUS);
        let service = service.with_context(|| format!("the stack file has no service {}", compose::DIRECTUS))?;
        ensure!(
            service.image == image,
            "the service {} of the stack file has the image `{}` instead of `{image}`: write `image: \"${{IMAGE}}:${{TAG}}\"`",
            compose::DIRECTUS,
            service.image
        );
        Ok(())
    }

    /// Returns the given secrets that are to be created.
    fn plan_secrets<'a>(&self, existing: &[String], given: &'a [SecretFile]) -> anyhow::Result<Vec<&'a SecretFile>> {
        let external = self.secrets.iter().filter(|(_, secret)| secret.external);
        let wanted: Vec<&str> = external.map(|(key, secret)| secret.name.as_deref().unwrap_or(key)).collect();
        if let Some(unknown) = given.iter().find(|secret| !wanted.contains(&secret.name.as_str())) {
            let wanted = wanted.join(", ");
            bail!("the stack file uses no secret {}; it uses {wanted}", unknown.name);
        }
        let missing: Vec<&str> =
            wanted.into_iter().filter(|name| !existing.iter().any(|other| other == name)).collect();
        let is_given = |name: &str| given.iter().any(|secret| secret.name == name);
        let lacking: Vec<&str> = missing.iter().filter(|name| !is_given(name)).copied().collect();
        if let Some(first) = lacking.first() {
            bail!(
                "the swarm has no secret {}: create it with `printf %s VALUE | docker secret create {first} -`, or give its file \
                 with `--secret {first}=FILE`; nothing was deployed",
                lacking.join(", ")
            );
        }
        Ok(given.iter().filter(|secret| missing.contains(&secret.name.as_str())).collect())
    }
}

fn absolute(files: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    // Child processes run in the workspace's folder.
    files.iter().map(|file| std::path::absolute(file).context("failed to read the current folder")).collect()
}

fn command(words: [&str; 2], files: &[PathBuf], variables: &[(&'static str, String); 2]) -> Cmd {
    let cmd = files.iter().fold(Cmd::new("docker").args(words), |cmd, file| cmd.arg("--compose-file").arg(file));
    variables.iter().fold(cmd, |cmd, (name, value)| cmd.env(*name, value.clone()))
}

#[cfg(test)]
mod tests {
    use grammar::SecretFile;

    use super::StackContent;

    /// The output of `docker stack config`, shortened.
    const CONFIG: &str = r#"
version: "3.8"
services:
  directus:
    image: registry.example.com/directus:4f2a91c
    deploy: {replicas: 3}
  postgres:
    image: postgres:17
secrets:
  db_password:
    name: trm_db_password
    external: true
  secret:
    name: trm_secret
    external: true
  generated:
    file: /work/generated.txt
"#;

    fn content() -> StackContent {
        StackContent::parse(CONFIG).unwrap()
    }

    fn given(names: &[&str]) -> Vec<SecretFile> {
        names.iter().map(|name| format!("{name}=value.txt").parse().unwrap()).collect()
    }

    #[test]
    fn a_stack_file_that_ignores_the_image_is_refused() {
        content().ensure_image("registry.example.com/directus:4f2a91c").unwrap();
        let error = content().ensure_image("directus:other").unwrap_err().to_string();
        assert!(error.contains("instead of `directus:other`: write `image: \"${IMAGE}:${TAG}\"`"), "{error}");
        let other = StackContent::parse("services: {web: {image: a}}").unwrap().ensure_image("a").unwrap_err();
        assert_eq!(other.to_string(), "the stack file has no service directus");
    }

    #[test]
    fn secrets_must_exist_or_be_given() {
        let both = ["trm_db_password", "trm_secret"].map(str::to_owned);
        assert!(content().plan_secrets(&both, &[]).unwrap().is_empty());
        let secrets = given(&["trm_secret"]);
        let created = content().plan_secrets(&both[..1], &secrets).unwrap();
        assert_eq!(created, [&secrets[0]]);
        // A secret cannot be changed.
        assert!(content().plan_secrets(&both, &secrets).unwrap().is_empty());
    }

    #[test]
    fn all_missing_secrets_are_named_with_the_command_that_creates_one() {
        let error = content().plan_secrets(&[], &[]).unwrap_err().to_string();
        assert!(
            error.starts_with("the swarm has no secret trm_db_password, trm_secret: create it with `printf"),
            "{error}"
        );
        assert!(error.contains("`--secret trm_db_password=FILE`"), "{error}");
    }

    #[test]
    fn a_given_secret_that_the_file_does_not_use_is_an_error() {
        let error = content().plan_secrets(&[], &given(&["db_password"])).unwrap_err().to_string();
        assert_eq!(error, "the stack file uses no secret db_password; it uses trm_db_password, trm_secret");
    }
}
