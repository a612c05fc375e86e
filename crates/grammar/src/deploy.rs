//! The flags of `deploy`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

/// The flags of `deploy`.
#[derive(Debug, Args)]
pub struct DeployFlags {
    /// The command with its flags.
    #[command(subcommand)]
    pub command: DeployCommand,
}

/// The commands of `deploy`.
#[derive(Debug, Subcommand)]
pub enum DeployCommand {
    /// Deploy a new stack, and follow each replica until all are healthy
    Up(DeployUpFlags),
    /// Roll a stack to another image, if that image answers that it may roll; exits with 2 if the swarm rolled it back
    Update(DeployUpdateFlags),
    /// Roll a stack back to the image before the last update, if that image answers that it may roll
    Rollback(DeployRollbackFlags),
    /// List the replicas of a stack with state, boot phase and error; exits with 1 unless all are healthy
    Status(DeployStatusFlags),
    /// Remove a stack; its volumes and secrets stay
    Down(DeployDownFlags),
}

/// The flag that selects the stack.
#[derive(Debug, Args)]
pub struct StackFlag {
    /// The stack's name in the swarm
    #[arg(long = "stack", value_name = "NAME", default_value = "trm")]
    pub name: String,
}

/// The flag that limits the wait.
#[derive(Debug, Args)]
pub struct DeployDeadlineFlag {
    /// Seconds until the command gives up waiting, which must cover the longest migration; the swarm goes on
    #[arg(long = "timeout", value_name = "SECONDS", default_value_t = 1800)]
    pub seconds: u64,
}

/// The flags about the answer of an image to the question if it may roll.
#[derive(Debug, Args)]
pub struct CompatFlags {
    /// If the image answers that the servers of the other one must stop first, stop all of them, then start it
    #[arg(long)]
    pub stop_first: bool,
    /// Roll an image that cannot be asked, because it is too old to have the command `compat`
    #[arg(long)]
    pub unasked: bool,
}

/// The flags of `deploy up`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask deploy up --image registry.example.com/team/directus:4f2a91c              # with the secrets of the swarm
  cargo xtask deploy up --image directus:4f2a91c --secret trm_db_password=password.txt  # create a secret from a file
  cargo xtask deploy up --image directus:4f2a91c --stack staging --file staging.yaml    # another stack")]
pub struct DeployUpFlags {
    /// The image: a tag that no other image gets, such as one per commit, or a digest
    #[arg(long, value_name = "IMAGE")]
    pub image: FixedImage,
    /// The stack file, which gets the image by the variables IMAGE and TAG; may be repeated [default: deploy/stack.yaml of the
    /// checkout]
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Create this secret from a file if the swarm does not have it
    #[arg(long = "secret", value_name = "NAME=FILE")]
    pub secrets: Vec<SecretFile>,
    /// The stack.
    #[command(flatten)]
    pub stack: StackFlag,
    /// The deadline.
    #[command(flatten)]
    pub deadline: DeployDeadlineFlag,
}

/// The flags of `deploy update`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask deploy update --image directus:7c01d3e                               # the image, everything else stays
  cargo xtask deploy update --image directus:7c01d3e --file deploy/stack.yaml      # and the changes of the stack file
  cargo xtask deploy update --image directus:7c01d3e --keep-contract               # a rollback stays possible
  cargo xtask deploy update --image directus:7c01d3e --stop-first                  # with an interruption, if the image needs it")]
pub struct DeployUpdateFlags {
    /// The image: a tag that no other image gets, such as one per commit, or a digest
    #[arg(long, value_name = "IMAGE")]
    pub image: FixedImage,
    /// Deploy this stack file, too, with the variables of this environment; may be repeated. Without it, only the image
    /// changes
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Create this secret of the stack file from a file if the swarm does not have it
    #[arg(long = "secret", value_name = "NAME=FILE", requires = "files")]
    pub secrets: Vec<SecretFile>,
    /// Leave the changes that wait for the end of the older servers to a later boot or update
    #[arg(long)]
    pub keep_contract: bool,
    /// The answer of the image.
    #[command(flatten)]
    pub compat: CompatFlags,
    /// The stack.
    #[command(flatten)]
    pub stack: StackFlag,
    /// The deadline.
    #[command(flatten)]
    pub deadline: DeployDeadlineFlag,
}

/// The flags of `deploy rollback`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask deploy rollback              # to the service before the last update
  cargo xtask deploy rollback --unasked    # to an image without the command `compat`")]
pub struct DeployRollbackFlags {
    /// The answer of the image.
    #[command(flatten)]
    pub compat: CompatFlags,
    /// The stack.
    #[command(flatten)]
    pub stack: StackFlag,
    /// The deadline.
    #[command(flatten)]
    pub deadline: DeployDeadlineFlag,
}

/// The flags of `deploy status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask deploy status                                  # of the stack trm
  cargo xtask deploy status --stack staging --json           # of another one, for a program")]
pub struct DeployStatusFlags {
    /// The stack.
    #[command(flatten)]
    pub stack: StackFlag,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `deploy down`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask deploy down                    # keep the database and the uploads
  cargo xtask deploy down --volumes          # remove them, after a question
  cargo xtask deploy down --volumes --yes    # remove them without a question")]
pub struct DeployDownFlags {
    /// Remove the volumes of this node, too: the database, if it is in the stack, and the uploads
    #[arg(long)]
    pub volumes: bool,
    /// Do not ask; without a terminal, --volumes needs it
    #[arg(long, requires = "volumes")]
    pub yes: bool,
    /// The stack.
    #[command(flatten)]
    pub stack: StackFlag,
}

/// The name of an image with a tag other than `latest`, or with a digest: a node does not pull a tag again that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedImage {
    /// The name as given.
    pub name: String,
}

impl FixedImage {
    /// Splits the name at its last colon, into the parts that `${IMAGE}:${TAG}` joins again.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.name.rsplit_once(':').unwrap_or((&self.name, ""))
    }
}

impl FromStr for FixedImage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let last = text.rsplit('/').next().unwrap_or_default();
        let has_digest = text.contains("@sha256:");
        match last.split_once(':').map(|(_, tag)| tag) {
            _ if text.is_empty() || text.contains(char::is_whitespace) => Err("not the name of an image".to_owned()),
            Some(tag) if has_digest || !(tag.is_empty() || tag == "latest") => Ok(FixedImage { name: text.to_owned() }),
            _ => Err("a node does not pull a tag that it has: give the image a tag of its own, or name its digest"
                .to_owned()),
        }
    }
}

/// A secret and the file with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// The name in the swarm.
    pub name: String,
    /// The file whose content is the value.
    pub file: PathBuf,
}

impl FromStr for SecretFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, file)) if !(name.is_empty() || file.is_empty()) => {
                Ok(SecretFile { name: name.to_owned(), file: file.into() })
            }
            _ => Err("expected NAME=FILE, such as db_password=password.txt".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{DeployCommand, FixedImage, SecretFile};
    use crate::{Xtask, XtaskCommand};

    fn parse(arguments: &[&str]) -> Result<DeployCommand, String> {
        let all = ["cargo xtask", "deploy"].iter().chain(arguments);
        match Xtask::try_parse_from(all).map_err(|error| error.to_string())?.command {
            XtaskCommand::Deploy(flags) => Ok(flags.command),
            other => panic!("{other:?} is not deploy"),
        }
    }

    #[test]
    fn an_image_needs_a_tag_of_its_own_or_a_digest() {
        let digest = format!("registry:5000/a@sha256:{}", "0".repeat(64));
        for fixed in ["directus:4f2a91c", "registry.example.com:5000/team/directus:1.0", &digest] {
            let image: FixedImage = fixed.parse().unwrap();
            let (name, tag) = image.parts();
            assert_eq!(format!("{name}:{tag}"), fixed);
        }
        for moving in
            ["directus", "directus:latest", "registry.example.com:5000/team/directus", "directus:", "", "a b:c"]
        {
            moving.parse::<FixedImage>().unwrap_err();
        }
        assert!(parse(&["up", "--image", "directus:latest"]).unwrap_err().contains("a tag of its own"));
    }

    #[test]
    fn a_secret_has_a_name_and_a_file() {
        let secret: SecretFile = "db_password=a=b.txt".parse().unwrap();
        assert_eq!((secret.name.as_str(), secret.file.to_str()), ("db_password", Some("a=b.txt")));
        for wrong in ["db_password", "=x", "x="] {
            wrong.parse::<SecretFile>().unwrap_err();
        }
    }

    #[test]
    fn secrets_of_an_update_need_the_stack_file_and_only_volumes_need_a_confirmation() {
        assert!(parse(&["update", "--image", "a:b", "--secret", "x=y"]).unwrap_err().contains("--file"));
        assert!(parse(&["down", "--yes"]).unwrap_err().contains("--volumes"));
        assert!(parse(&["update"]).unwrap_err().contains("--image <IMAGE>"));
    }
}
