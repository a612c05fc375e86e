//! The layers: a package depends only on lower ones, and the imports between the files of a package have no cycle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{read, root, sources};

/// The packages with their folders, from the lowest layer up. A package may depend on those of lower layers.
const LAYERS: &[&[(&str, &str)]] = &[
    &[
        ("child", "crates/child"),
        ("contract", "crates/contract"),
        ("grammar", "crates/grammar"),
        ("pg-fault-proxy", "crates/pg-fault-proxy"),
    ],
    &[("entrypoint", "entrypoint")],
    &[("schema-docs", "crates/schema-docs"), ("testbed", "crates/testbed")],
    &[
        ("acceptance", "crates/acceptance"),
        ("deploy", "crates/deploy"),
        ("devtools", "crates/devtools"),
        ("migration", "crates/migration"),
    ],
    &[("bench", "crates/bench"), ("rehearse", "crates/rehearse"), ("xtask", "xtask")],
];

/// The packages of this workspace that xtask may depend on, so that it builds in seconds.
const XTASK: [&str; 3] = ["child", "contract", "grammar"];

#[test]
fn a_package_depends_only_on_lower_layers() {
    let mut lower: BTreeSet<&str> = BTreeSet::new();
    for layer in LAYERS {
        for (package, folder) in *layer {
            let manifest = read(&root().join(folder).join("Cargo.toml"));
            for dependency in own_dependencies(&manifest) {
                assert!(lower.contains(dependency), "{package} depends on {dependency}, which is not in a lower layer");
            }
        }
        lower.extend(layer.iter().map(|(package, _)| package));
    }
    let members = LAYERS.iter().map(|layer| layer.len()).sum::<usize>();
    let crates = root().join("crates").read_dir_utf8().expect("a folder").count();
    assert_eq!(members, crates + 2, "every package of the workspace must have a layer");
}

#[test]
fn xtask_has_only_light_dependencies() {
    let manifest = read(&root().join("xtask/Cargo.toml"));
    assert_eq!(own_dependencies(&manifest).collect::<Vec<_>>(), XTASK);
    let (dependencies, _) = manifest.split_once("[dev-dependencies]").expect("xtask has dev-dependencies");
    for heavy in ["tokio", "bollard", "rustls", "ureq"] {
        assert!(!dependencies.contains(heavy), "xtask depends on {heavy}, which belongs in a tool");
    }
}

#[test]
fn imports_between_files_have_no_cycle() {
    for (package, folder) in LAYERS.iter().copied().flatten() {
        let cycle = Imports::of(&root().join(folder).join("src")).cycle();
        assert!(cycle.is_none(), "{package}: {}", cycle.unwrap_or_default().join(" imports from "));
    }
}

#[test]
fn a_cycle_is_found_through_a_re_export() {
    let files = BTreeMap::from(
        [
            ("lib.rs", "mod a;\nmod b;\npub use a::Alpha;\n"),
            ("a.rs", "use crate::b::Beta;\n"),
            ("b/mod.rs", "mod deep;\npub use self::deep::Beta;\n"),
            ("b/deep.rs", "use super::super::Alpha;\n"),
        ]
        .map(|(path, text)| (module(Utf8Path::new(path)), text.to_owned())),
    );
    let cycle = Imports::between(&files).cycle().expect("a, b::deep, a");
    assert_eq!(cycle, ["a", "b::deep", "a"]);
}

/// The parts of a module's path; empty for the root.
type Module = Vec<String>;

/// The files that each file imports from.
struct Imports(BTreeMap<Module, BTreeSet<Module>>);

impl Imports {
    fn of(folder: &Utf8Path) -> Imports {
        let text = |file: Utf8PathBuf| {
            let path = file.strip_prefix(folder).expect("the path is below the folder");
            (module(path), read(&file))
        };
        let files: BTreeMap<_, _> = sources(folder).into_iter().map(text).collect();
        assert!(!files.is_empty(), "there are no source files in {folder}");
        Imports::between(&files)
    }

    /// Reads the imports of source texts. An import of a re-export (`pub use`) counts as one from its original module.
    fn between(files: &BTreeMap<Module, String>) -> Imports {
        let mut reexports = BTreeMap::new();
        for (file, text) in files {
            for path in paths(text, true) {
                if let (Some(target), Some(name)) = (resolve(files, &BTreeMap::new(), file, &path), path.last())
                    && target != *file
                {
                    reexports.insert((file.clone(), name.clone()), target);
                }
            }
        }
        let imports = files.iter().map(|(file, text)| {
            let targets = paths(text, false).into_iter().filter_map(|path| resolve(files, &reexports, file, &path));
            (file.clone(), targets.filter(|target| target != file).collect())
        });
        Imports(imports.collect())
    }

    /// Returns the modules of a cycle, with the first one repeated at the end.
    fn cycle(&self) -> Option<Vec<String>> {
        self.0.keys().find_map(|start| self.shortest_path(start, start)).map(|path| path.iter().map(name).collect())
    }

    /// Returns the shortest path over imports, both ends included.
    fn shortest_path(&self, from: &Module, to: &Module) -> Option<Vec<Module>> {
        let mut queue = VecDeque::from([vec![from.clone()]]);
        let mut seen = BTreeSet::new();
        while let Some(path) = queue.pop_front() {
            for next in &self.0[path.last()?] {
                let longer = [path.clone(), vec![next.clone()]].concat();
                if next == to {
                    return Some(longer);
                }
                if seen.insert(next.clone()) {
                    queue.push_back(longer);
                }
            }
        }
        None
    }
}

/// Resolves a path in a file to a module of the same package; `None` for other packages.
fn resolve(
    files: &BTreeMap<Module, String>,
    reexports: &BTreeMap<(Module, String), Module>,
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
        while let Some(target) = reexports.get(&(module.clone(), name.clone())) {
            module.clone_from(target);
        }
    }
    files.contains_key(&module).then_some(module)
}

/// Returns the paths of a file's re-exports, or those of its other `use` items and its code. Tests are left out.
fn paths(text: &str, only_reexports: bool) -> Vec<Vec<String>> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let mut paths = Vec::new();
    let mut code = String::new();
    for item in lines.join("\n").split_inclusive(';') {
        match use_tree(item.trim().trim_end_matches(';')) {
            Some((reexport, tree)) if reexport == only_reexports => expand("", tree, &mut paths),
            Some(_) => {}
            None => code.push_str(item),
        }
    }
    if !only_reexports {
        let words = code.split(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
        let local = words.filter(|word| ["crate::", "self::", "super::"].iter().any(|start| word.starts_with(start)));
        paths.extend(local.map(|word| word.split("::").map(str::to_owned).collect()));
    }
    paths
}

/// Returns true for a re-export and the tree of names of a `use` item; `None` for other items.
fn use_tree(item: &str) -> Option<(bool, &str)> {
    if let Some(tree) = item.strip_prefix("use ") {
        return Some((false, tree));
    }
    let (visibility, tree) = item.split_once(" use ")?;
    (visibility.starts_with("pub") && !visibility.contains(char::is_whitespace)).then_some((true, tree))
}

/// Expands `a::{b, c::d}` to `a::b` and `a::c::d`.
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

/// Returns the packages of this workspace in a manifest's dependencies, without those of tests.
fn own_dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap_or_default();
    let dependencies = dependencies.split("[dev-dependencies]").next().unwrap_or_default();
    let names = dependencies.lines().filter_map(|line| line.split_once(".workspace")).map(|(name, _)| name);
    names.filter(|name| LAYERS.iter().copied().flatten().any(|(package, _)| package == name))
}

/// Returns the module of a file: `b/mod.rs` and `b.rs` are both `b`; `lib.rs` and `main.rs` are the root.
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
