//! The flags of `rehearse`.

use std::fmt;
use std::str::FromStr;

use clap::Args;

/// The flags of `rehearse`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask rehearse --to 12.4.1                                           # an upgrade of Directus
  cargo xtask rehearse --from trm-directus:1.4 --image trm-directus:dev      # today's image after the shipped one
  cargo xtask rehearse --to 12.4.1 --write --accept 0123456789ab             # make it the pin, despite the findings")]
pub struct RehearseFlags {
    /// Rehearse the upgrade to this version of Directus, with an image of this checkout that is built on it
    #[arg(long, value_name = "VERSION", required_unless_present = "image", conflicts_with = "image")]
    pub to: Option<DirectusVersion>,
    /// Rehearse the upgrade to this existing image
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Start from an image of this checkout on this version of Directus, or from an existing image [default: the pin]
    #[arg(long, value_name = "VERSION|IMAGE")]
    pub from: Option<String>,
    /// Afterwards write VERSION as the pin and save the snapshot of the candidate, unless the verdict forbids it
    #[arg(long, requires = "to", conflicts_with = "image")]
    pub write: bool,
    /// With --write: accept the findings with this digest, which the report contains
    #[arg(long, value_name = "DIGEST", requires = "write")]
    pub accept: Option<String>,
    /// Print the report as one JSON object on the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// An exact version of Directus, such as `11.17.4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectusVersion {
    /// Major, minor and patch.
    pub numbers: [u32; 3],
}

impl FromStr for DirectusVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|number| number.parse().ok()).collect();
        let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
        match numbers {
            Some(numbers) => Ok(DirectusVersion { numbers }),
            None => Err(format!("`{text}` is not an exact version of Directus, such as 11.17.4")),
        }
    }
}

impl fmt::Display for DirectusVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::DirectusVersion;
    use crate::{Xtask, XtaskCommand};

    fn parse(arguments: &[&str]) -> Result<super::RehearseFlags, String> {
        let all = ["cargo xtask", "rehearse"].iter().chain(arguments);
        match Xtask::try_parse_from(all).map_err(|error| error.to_string())?.command {
            XtaskCommand::Rehearse(flags) => Ok(flags),
            other => panic!("{other:?} is not rehearse"),
        }
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let version = |text: &str| text.parse::<DirectusVersion>().unwrap();
        assert!(version("11.9.2") < version("11.10.0"));
        assert_eq!(version("12.4.1").to_string(), "12.4.1");
    }

    #[test]
    fn a_rehearsal_needs_one_candidate() {
        assert!(parse(&[]).unwrap_err().contains("--to <VERSION>"));
        assert!(parse(&["--to", "12.4.1", "--image", "a:b"]).unwrap_err().contains("cannot be used with"));
        assert!(parse(&["--image", "a:b", "--from", "11.17.4"]).unwrap().to.is_none());
    }

    #[test]
    fn an_inexact_version_is_refused_with_an_example() {
        for text in ["latest", "12", "11.17", "11.17.x", "11.17.4.1", ""] {
            let error = parse(&["--to", text]).unwrap_err();
            assert!(error.contains("not an exact version of Directus, such as 11.17.4"), "{error}");
        }
    }

    #[test]
    fn only_a_version_can_become_the_pin() {
        assert!(parse(&["--image", "a:b", "--write"]).is_err());
        assert!(parse(&["--to", "12.4.1", "--accept", "0123"]).unwrap_err().contains("--write"));
        assert!(parse(&["--to", "12.4.1", "--write", "--accept", "0123"]).unwrap().write);
    }
}
