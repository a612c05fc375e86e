//! The software bill of materials of an image, in CycloneDX 1.5: crates of the boot binary, npm packages, Node, and the
//! packages of the distribution.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use auditable_serde::DependencyKind;
use serde::Deserialize;
use serde_json::{Value, json};
use testbed::cmd::Cmd;

/// The script that lists what an image contains; its argument is the path of the module that loads the bundle.
pub(crate) const INVENTORY: &str = include_str!("inventory.mjs");

/// The contents of an image, as the script prints them.
#[derive(Debug, Deserialize)]
pub(crate) struct Inventory {
    /// Version of Node.
    node: String,
    npm: Vec<NpmPackage>,
    distribution: Distribution,
    /// Folders of the packages from which importing the server loads a module.
    pub(crate) opened: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct NpmPackage {
    name: String,
    version: String,
    license: Option<Value>,
    path: String,
}

#[derive(Debug, Deserialize)]
struct Distribution {
    /// `deb` or `apk`.
    format: String,
    id: String,
    version: String,
    packages: Vec<SystemPackage>,
}

#[derive(Debug, Deserialize)]
struct SystemPackage {
    name: String,
    version: String,
    architecture: Option<String>,
    license: Option<String>,
}

impl Inventory {
    /// Reads the script's output, which ends with the result.
    pub(crate) fn parse(output: &str) -> anyhow::Result<Inventory> {
        let (_, json) = output.split_once("\ninventory\n").context("the inventory printed no result")?;
        serde_json::from_str(json).context("the inventory cannot be parsed")
    }

    /// The opened packages that are not listed.
    pub(crate) fn unlisted(&self) -> Vec<String> {
        let is_listed = |path: &&String| self.npm.iter().any(|package| package.path == **path);
        self.opened.iter().filter(|path| !is_listed(path)).cloned().collect()
    }
}

/// A bill of materials: components by their package URL.
#[derive(Debug, Default)]
pub(crate) struct Sbom(BTreeMap<String, Value>);

impl Sbom {
    /// Combines the contents of an image with the crates of its binary.
    pub(crate) fn new(inventory: &Inventory, crates: &[Crate]) -> Sbom {
        let mut sbom = Sbom::default();
        sbom.add(&format!("pkg:generic/node@{}", inventory.node), "node", &inventory.node, Some("MIT"));
        for Crate { name, version, license } in crates {
            sbom.add(&format!("pkg:cargo/{name}@{version}"), name, version, Some(license));
        }
        for NpmPackage { name, version, license, .. } in &inventory.npm {
            let purl = format!("pkg:npm/{}@{version}", name.replace('@', "%40"));
            sbom.add(&purl, name, version, license.as_ref().and_then(Value::as_str));
        }
        let Distribution { format, id, version: release, packages } = &inventory.distribution;
        for SystemPackage { name, version, architecture, license } in packages {
            let arch = architecture.as_deref().unwrap_or("unknown");
            let version_in_url = version.replace('+', "%2B").replace(':', "%3A");
            let purl = format!("pkg:{format}/{id}/{name}@{version_in_url}?arch={arch}&distro={id}-{release}");
            sbom.add(&purl, name, version, license.as_deref());
        }
        sbom
    }

    fn add(&mut self, purl: &str, name: &str, version: &str, license: Option<&str>) {
        let mut component =
            json!({ "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl });
        if let Some(license) = license {
            component["licenses"] = json!([{ "license": { "name": license } }]);
        }
        self.0.insert(purl.to_owned(), component);
    }

    /// Number of components of a type of package URL (`cargo`, `npm`, `deb`, `apk`).
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.0.keys().filter(|purl| purl.starts_with(&format!("pkg:{kind}/"))).count()
    }

    /// The document. It has no time and no serial number, so that the same image gives the same document.
    pub(crate) fn document(&self, image: &str, version: &str) -> Value {
        let subject = json!({ "type": "container", "bom-ref": "image", "name": image, "version": version });
        let components: Vec<&Value> = self.0.values().collect();
        json!({
            "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
            "metadata": { "component": subject }, "components": components,
        })
    }
}

/// A crate of the boot binary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Crate {
    name: String,
    version: String,
    license: String,
}

impl Crate {
    fn new(name: &str, version: &str, license: &str) -> Crate {
        Crate { name: name.to_owned(), version: version.to_owned(), license: license.to_owned() }
    }
}

/// Returns the crates of the list that `cargo auditable` wrote into the binary, with their licences by the lock file. The
/// list contains the procedural macros, too, and some crates of features that only other packages here use.
///
/// # Errors
/// The binary has no list, or it lacks a crate that is linked into the binary.
pub(crate) async fn crates(binary: &[u8], target: &str) -> anyhow::Result<Vec<Crate>> {
    let list = auditable_info::audit_info_from_slice(binary, usize::MAX);
    let list = list.context("the binary contains no list of crates")?.packages.into_iter();
    let listed: BTreeSet<(String, String)> = list
        .filter(|package| package.kind == DependencyKind::Runtime)
        .map(|package| (package.name, package.version.to_string()))
        .collect();
    let linked = tree(&["--package", "entrypoint", "--edges", "normal,no-proc-macro", "--target", target]).await?;
    let missing = linked.iter().find(|it| !listed.contains(&(it.name.clone(), it.version.clone())));
    if let Some(Crate { name, version, .. }) = missing {
        bail!("the list of crates in the binary lacks {name} {version}");
    }
    let known = tree(&["--workspace", "--edges", "all", "--target", "all"]).await?;
    Ok(known.into_iter().filter(|it| listed.contains(&(it.name.clone(), it.version.clone()))).collect())
}

/// Runs `cargo tree` with these arguments.
async fn tree(arguments: &[&str]) -> anyhow::Result<BTreeSet<Crate>> {
    let tree = Cmd::cargo().args(["tree", "--locked", "--prefix", "none", "--format", "{p}|{l}"]).args(arguments);
    Ok(tree.read().await?.lines().filter_map(crate_of).collect())
}

/// Reads a line such as `sha2 v0.11.1|MIT OR Apache-2.0`; a repeated crate ends in ` (*)`, one of ours has its path.
fn crate_of(line: &str) -> Option<Crate> {
    let (package, license) = line.split_once('|')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    Some(Crate::new(name, version, license.trim_end_matches(" (*)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = concat!(
        "a warning\n\ninventory\n",
        r#"{"node":"22.1.0","npm":[{"name":"@a/b","version":"1.0.0","license":"MIT","path":"/m/@a/b"},"#,
        r#"{"name":"@a/b","version":"1.0.0","path":"/n/@a/b"}],"distribution":{"format":"deb","id":"debian","#,
        r#""version":"12","packages":[{"name":"tar","version":"1:1+b","architecture":"amd64"}]},"opened":["/m/@a/b","/m/c"]}"#,
        "\n"
    );

    #[test]
    fn each_package_is_one_component_with_its_url() {
        let crates = [Crate::new("sha2", "0.11.1", "MIT")];
        let sbom = Sbom::new(&Inventory::parse(OUTPUT).unwrap(), &crates);
        assert_eq!(["cargo", "npm", "deb", "apk"].map(|kind| sbom.count(kind)), [1, 1, 1, 0]);
        let document = sbom.document("a:b", "1");
        let purls: Vec<&str> =
            document["components"].as_array().unwrap().iter().map(|it| it["purl"].as_str().unwrap()).collect();
        let expected = [
            "pkg:cargo/sha2@0.11.1",
            "pkg:deb/debian/tar@1%3A1%2Bb?arch=amd64&distro=debian-12",
            "pkg:generic/node@22.1.0",
            "pkg:npm/%40a/b@1.0.0",
        ];
        assert_eq!(purls, expected);
    }

    #[test]
    fn an_opened_package_without_an_entry_is_found() {
        assert_eq!(Inventory::parse(OUTPUT).unwrap().unlisted(), ["/m/c"]);
        assert!(Inventory::parse("Error: no such module").is_err());
    }

    #[test]
    fn a_line_of_cargo_tree_is_a_crate() {
        let expected = Some(Crate::new("sha2", "0.11.1", "MIT OR Apache-2.0"));
        assert_eq!(crate_of("sha2 v0.11.1|MIT OR Apache-2.0"), expected);
        assert_eq!(crate_of("sha2 v0.11.1 (/a/b)|MIT OR Apache-2.0 (*)"), expected);
        assert_eq!(crate_of(""), None);
    }
}
