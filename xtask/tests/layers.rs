//! The layers: a package depends only on those below it, and no file of a package imports from a file that imports from it.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

/// The packages, the lowest layer first, each with its folder. One may depend on those of earlier lines.
const LAYERS: &[&[(&str, &str)]] = &[
    &[
        ("child", "crates/child"),
        ("contract", "crates/contract"),
        ("grammar", "crates/grammar"),
        ("pg-fault-proxy", "crates/pg-fault-proxy"),
    ],
    &[("entrypoint", "entrypoint")],
    &[("testbed", "crates/testbed")],
    &[("acceptance", "crates/acceptance"), ("devtools", "crates/devtools")],
    &[("bench", "crates/bench"), ("xtask", "xtask")],
];

/// The packages of this workspace that xtask may depend on, so that it is built in seconds.
const XTASK: [&str; 3] = ["child", "contract", "grammar"];

#[test]
fn a_package_depends_only_on_lower_layers() {
    let mut lower: BTreeSet<&str> = BTreeSet::new();
    for layer in LAYERS {
        for (package, folder) in *layer {
            let manifest = read(&root().join(folder).join("Cargo.toml"));
            for dependency in own_dependencies(&manifest) {
                assert!(lower.contains(dependency), "{package} depends on {dependency}, which is in no lower layer");
            }
        }
        lower.extend(layer.iter().map(|(package, _)| package));
    }
    let members = LAYERS.iter().map(|layer| layer.len()).sum::<usize>();
    let crates = root().join("crates").read_dir_utf8().expect("a folder").count();
    assert_eq!(members, crates + 2, "every package of the workspace has its layer");
}

#[test]
fn xtask_is_light() {
    let manifest = read(&root().join("xtask/Cargo.toml"));
    assert_eq!(own_dependencies(&manifest).collect::<Vec<_>>(), XTASK);
    let (dependencies, _) = manifest.split_once("[dev-dependencies]").expect("it has some for its tests");
    for heavy in ["tokio", "bollard", "rustls", "ureq"] {
        assert!(!dependencies.contains(heavy), "xtask depends on {heavy}: that belongs into a tool");
    }
}

#[test]
fn no_files_import_in_a_circle() {
    for (package, folder) in LAYERS.iter().copied().flatten() {
        let circle = Imports::of(&root().join(folder).join("src")).circle();
        assert!(circle.is_none(), "{package}: {}", circle.unwrap_or_default().join(" imports from "));
    }
}

#[test]
fn a_circle_is_found_through_what_a_parent_passes_on() {
    let file = |path: &str, text: &str| (module(Utf8Path::new(path)), text.to_owned());
    let files = BTreeMap::from([
        file("lib.rs", "mod a;\nmod b;\npub use a::Alpha;\n"),
        file("a.rs", "use crate::b::Beta;\n"),
        file("b/mod.rs", "mod deep;\npub use self::deep::Beta;\n"),
        file("b/deep.rs", "use super::super::Alpha;\n"),
    ]);
    let circle = Imports::between(&files).circle().expect("a, b::deep, a");
    assert_eq!(circle, ["a", "b::deep", "a"]);
}

/// A module as the parts of its path; empty for the root.
type Module = Vec<String>;

/// The files that each file imports from.
struct Imports(BTreeMap<Module, BTreeSet<Module>>);

impl Imports {
    fn of(folder: &Utf8Path) -> Imports {
        let mut files = BTreeMap::new();
        read_folder(folder, folder, &mut files);
        assert!(!files.is_empty(), "there is no source in {folder}");
        Imports::between(&files)
    }

    /// Of these texts. An import through a module that only passes a name on (`pub use`) counts as one from where that is.
    fn between(files: &BTreeMap<Module, String>) -> Imports {
        let mut passed_on = BTreeMap::new();
        for (file, text) in files {
            for path in paths(text, true) {
                if let (Some(target), Some(name)) = (resolve(files, &BTreeMap::new(), file, &path), path.last())
                    && target != *file
                {
                    passed_on.insert((file.clone(), name.clone()), target);
                }
            }
        }
        let imports = files.iter().map(|(file, text)| {
            let targets = paths(text, false).into_iter().filter_map(|path| resolve(files, &passed_on, file, &path));
            (file.clone(), targets.filter(|target| target != file).collect())
        });
        Imports(imports.collect())
    }

    /// The files of a circle, the first one again at the end.
    fn circle(&self) -> Option<Vec<String>> {
        self.0.keys().find_map(|start| self.way(start, start)).map(|way| way.iter().map(name).collect())
    }

    /// The shortest way over imports, both ends included.
    fn way(&self, from: &Module, to: &Module) -> Option<Vec<Module>> {
        let mut ways = vec![vec![from.clone()]];
        let mut seen = BTreeSet::new();
        while let Some(way) = (!ways.is_empty()).then(|| ways.remove(0)) {
            for next in &self.0[way.last()?] {
                let longer = [way.clone(), vec![next.clone()]].concat();
                if next == to {
                    return Some(longer);
                }
                if seen.insert(next.clone()) {
                    ways.push(longer);
                }
            }
        }
        None
    }
}

/// The file that a path leads to from a file of this package; `None` for other packages.
fn resolve(
    files: &BTreeMap<Module, String>,
    passed_on: &BTreeMap<(Module, String), Module>,
    file: &Module,
    path: &[String],
) -> Option<Module> {
    let mut rest = path.iter().peekable();
    let mut module = match rest.peek()?.as_str() {
        "crate" => Module::new(),
        "self" | "super" => file.clone(),
        child if files.contains_key(&joined(file, child)) => file.clone(),
        _ => return None,
    };
    while let Some(word) = rest.next_if(|word| matches!(word.as_str(), "crate" | "self" | "super")) {
        if word == "super" {
            module.pop();
        }
    }
    while let Some(word) = rest.next_if(|word| files.contains_key(&joined(&module, word))) {
        module.push(word.clone());
    }
    if let Some(name) = rest.next() {
        while let Some(target) = passed_on.get(&(module.clone(), name.clone())) {
            module.clone_from(target);
        }
    }
    files.contains_key(&module).then_some(module)
}

/// The paths of a file: of its `use` items that pass names on, or of all others and of its code. Tests are left out.
fn paths(text: &str, only_passed_on: bool) -> Vec<Vec<String>> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let mut paths = Vec::new();
    let mut code = String::new();
    for item in lines.join("\n").split_inclusive(';') {
        match use_tree(item.trim().trim_end_matches(';')) {
            Some((passes_on, tree)) if passes_on == only_passed_on => expand("", tree, &mut paths),
            Some(_) => {}
            None => code.push_str(item),
        }
    }
    if !only_passed_on {
        let words = code.split(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
        let local = words.filter(|word| ["crate::", "self::", "super::"].iter().any(|start| word.starts_with(start)));
        paths.extend(local.map(|word| word.split("::").map(str::to_owned).collect()));
    }
    paths
}

/// True for a `use` item that passes its names on, and the names; `None` for other items.
fn use_tree(item: &str) -> Option<(bool, &str)> {
    if let Some(tree) = item.strip_prefix("use ") {
        return Some((false, tree));
    }
    let (visibility, tree) = item.split_once(" use ")?;
    (visibility.starts_with("pub") && !visibility.contains(char::is_whitespace)).then_some((true, tree))
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    match tree.split_once('{') {
        None => {
            let path = format!("{prefix}{}", tree.split(" as ").next().unwrap_or_default().trim());
            paths.push(path.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect());
        }
        Some((before, inner)) => {
            let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
            let mut depth = 0;
            let parts = inner.split(|c: char| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                c == ',' && depth == 0
            });
            let prefix = format!("{prefix}{before}");
            for part in parts.filter(|part| !part.trim().is_empty()) {
                expand(&prefix, part, paths);
            }
        }
    }
}

/// The packages of this workspace that a manifest names, but for those of tests.
fn own_dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap_or_default();
    let dependencies = dependencies.split("[dev-dependencies]").next().unwrap_or_default();
    let names = dependencies.lines().filter_map(|line| line.split_once(".workspace")).map(|(name, _)| name);
    names.filter(|name| LAYERS.iter().copied().flatten().any(|(package, _)| package == name))
}

fn read_folder(base: &Utf8Path, folder: &Utf8Path, files: &mut BTreeMap<Module, String>) {
    for entry in folder.read_dir_utf8().unwrap_or_else(|error| panic!("{folder}: {error}")) {
        let path = entry.expect("an entry").into_path();
        if path.is_dir() {
            read_folder(base, &path, files);
        } else if path.extension() == Some("rs") {
            files.insert(module(path.strip_prefix(base).expect("inside")), read(&path));
        }
    }
}

/// `b/mod.rs` and `b.rs` are both `b`; `lib.rs` and `main.rs` are the root.
fn module(path: &Utf8Path) -> Module {
    let mut parts: Module = path.with_extension("").components().map(|part| part.to_string()).collect();
    if parts.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

fn joined(module: &Module, child: &str) -> Module {
    [module.clone(), vec![child.to_owned()]].concat()
}

fn name(module: &Module) -> String {
    if module.is_empty() { "the root".to_owned() } else { module.join("::") }
}

fn read(path: &Utf8Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of the workspace").to_owned()
}
