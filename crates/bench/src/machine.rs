//! What the figures were measured on. Nothing that names the machine: no host name, no path, no user.

use testbed::engine::Engine;

use super::model::Machine;

/// Describes this machine.
pub(crate) async fn describe(engine: &Engine, load_before: Option<f64>) -> anyhow::Result<Machine> {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Ok(Machine {
        cores: testbed::machine::cores(),
        processor: processor(&processors),
        memory_bytes: engine.memory().await?,
        kernel: version(&rustix::system::uname().release().to_string_lossy()).to_owned(),
        engine: engine.version().await?,
        load_before,
    })
}

/// How busy this machine is.
pub(crate) fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// A kernel's version without what its builder appends, which may name a provider or a machine.
fn version(release: &str) -> &str {
    release.split_once(|c: char| c != '.' && !c.is_ascii_digit()).map_or(release, |(version, _)| version)
}

fn processor(cpuinfo: &str) -> Option<String> {
    let (_, name) =
        cpuinfo.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == "model name")?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{processor, version};

    #[test]
    fn a_kernel_is_known_by_its_version_alone() {
        assert_eq!(["6.1.0-44-cloud-amd64", "6.18.44+custom", "6.8"].map(version), ["6.1.0", "6.18.44", "6.8"]);
    }

    #[test]
    fn a_processor_has_the_name_that_the_kernel_shows() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n").unwrap(), "Some CPU @ 2 GHz");
        assert_eq!(processor("processor\t: 0\n"), None);
    }
}
