//! Medians, and the machine they were measured on.

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
