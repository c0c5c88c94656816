//! Medians, and what they were measured on.

use std::process::Command;

use crate::contestants::Pythons;

/// The value below which a share of the sample lies, e.g. 0.5 for the median. Sorts the sample.
pub fn quantile(sample: &mut [f64], share: f64) -> f64 {
    assert!(!sample.is_empty(), "nothing was measured");
    sample.sort_by(f64::total_cmp);
    sample[(share * (sample.len() - 1) as f64).round() as usize]
}

/// The median of a few figures, e.g. of several rounds.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&mut figures.into_iter().collect::<Vec<_>>(), 0.5)
}

/// Processor, cores, kernel.
pub fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown processor".into());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel: String = kernel.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    format!("{model}, {cores} cores, Linux {kernel}")
}

/// Versions of what takes part.
pub fn software(pythons: &Pythons) -> String {
    let said = |command: &mut Command| {
        let output = command.output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).trim().to_owned()
    };
    let rust = said(Command::new("rustc").arg("-V"));
    let rust = rust.split(" (").next().unwrap_or_default().replace("rustc", "Rust");
    let own = said(Command::new(&pythons.own).args(["-c", VERSIONS, "numpy"]));
    let others = ["grpcio", "iceoryx2", "pyzmq", "msgspec", "flatbuffers"];
    let others = said(Command::new(&pythons.others).args(["-c", VERSIONS]).args(others));
    let others = others.split_once(", ").map_or("", |(_, packages)| packages);
    [&rust, &own, others].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Of the interpreter and of those of the packages named that are installed.
const VERSIONS: &str = "
import platform, sys
from importlib.metadata import PackageNotFoundError, version
found = ['Python ' + platform.python_version()]
for package in sys.argv[1:]:
    try:
        found.append(f'{package} {version(package)}')
    except PackageNotFoundError:
        pass
print(', '.join(found))
";
