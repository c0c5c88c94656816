//! Medians, and the machine they were measured on.

use std::time::Duration;

/// Sorted durations in microseconds.
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn new(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut micros: Vec<f64> =
            durations.into_iter().map(|duration| duration.as_secs_f64() * 1e6).collect();
        micros.sort_by(f64::total_cmp);
        assert!(!micros.is_empty(), "nothing was measured");
        Self(micros)
    }

    /// The value below which a share of the sample lies, e.g. 0.5 for the median.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = (self.0.len() - 1) as f64;
        self.0[(share * last).round() as usize]
    }
}

/// The median of a few figures, e.g. of several rounds.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
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
