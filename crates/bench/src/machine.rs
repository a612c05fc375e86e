//! Description of the machine, without anything that identifies it: no host name, path or user.

use testbed::engine::Engine;

use super::model::BenchMachine;

pub(crate) async fn describe(engine: &Engine, load_before: Option<f64>) -> anyhow::Result<BenchMachine> {
    // Both are Linux'; on other systems the report has neither.
    let [processors, kernel] =
        ["/proc/cpuinfo", "/proc/sys/kernel/osrelease"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    Ok(BenchMachine {
        cores: testbed::machine::cores(),
        processor: processor(&processors),
        memory_bytes: engine.memory().await?,
        kernel: version(kernel.trim_end()).to_owned(),
        engine: engine.version().await?,
        load_before,
    })
}

/// Returns the load average over one minute.
pub(crate) fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Removes the vendor's suffix from a kernel release, because it may identify a provider or a machine.
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
    fn only_the_version_of_the_kernel_is_shown() {
        assert_eq!(["6.1.0-44-cloud-amd64", "6.18.44+custom", "6.8"].map(version), ["6.1.0", "6.18.44", "6.8"]);
    }

    #[test]
    fn the_processor_is_the_model_name_of_cpuinfo() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n").unwrap(), "Some CPU @ 2 GHz");
        assert_eq!(processor("processor\t: 0\n"), None);
    }
}
