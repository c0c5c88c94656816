//! A report as tables, in Markdown: for the terminal and for `docs/benchmarks.md`.

use std::fmt::Write;

use crate::contestants::{FLOOR, label};
use crate::report::Report;

/// All sections that were measured.
pub fn markdown(report: &Report) -> String {
    let mut out = format!("{}; {}; medians.\n", report.machine, report.software);
    for part in [latency, sizes, throughput, reports, memory, sockets, durable, rest] {
        part(report, &mut out).expect("a String takes all");
    }
    for skipped in &report.skipped {
        writeln!(out, "\nSkipped: {}: {}", label(&skipped.contestant), skipped.reason).expect("as above");
    }
    out
}

fn latency(report: &Report, out: &mut String) -> std::fmt::Result {
    let floor = |cores: &str, size_bytes: usize| {
        report
            .latency
            .iter()
            .find(|row| row.contestant == FLOOR.name && row.cores == cores && row.size_bytes == size_bytes)
    };
    let mut heading = None;
    for row in &report.latency {
        if heading != Some((&row.cores, row.size_bytes)) {
            heading = Some((&row.cores, row.size_bytes));
            writeln!(out, "\n### One task of {} after another, {}\n", bytes(row.size_bytes), row.cores)?;
            writeln!(
                out,
                "| | fields read, p50 | × floor | p99 | answered, p50 | p99 |\n| --- | --- | --- | --- | --- | --- |"
            )?;
        }
        let ratio =
            floor(&row.cores, row.size_bytes).map_or(f64::NAN, |floor| row.read_p50_us / floor.read_p50_us);
        let [read, read_99, answered, answered_99] =
            [row.read_p50_us, row.read_p99_us, row.answered_p50_us, row.answered_p99_us].map(micros);
        let name = label(&row.contestant);
        writeln!(out, "| {name} | {read} | {ratio:.2} | {read_99} | {answered} | {answered_99} |")?;
    }
    Ok(())
}

fn sizes(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.sizes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### Until four fields are read and a NumPy view exists, by size, two cores\n")?;
    let mut columns: Vec<usize> = report.sizes.iter().map(|row| row.size_bytes).collect();
    columns.dedup();
    let mut lines: Vec<(&str, bool)> = Vec::new();
    for row in &report.sizes {
        if !lines.contains(&(&row.contestant, row.in_place)) {
            lines.push((&row.contestant, row.in_place));
        }
    }
    let heads: Vec<String> = columns.iter().map(|size| bytes(*size)).collect();
    writeln!(out, "| | {} |\n| --- |{}", heads.join(" | "), " --- |".repeat(columns.len()))?;
    for (contestant, in_place) in lines {
        write!(out, "| {}{} |", label(contestant), if in_place { ", in place" } else { "" })?;
        for size_bytes in &columns {
            let row = report.sizes.iter().find(|row| {
                row.contestant == contestant && row.in_place == in_place && row.size_bytes == *size_bytes
            });
            write!(out, " {} |", row.map_or_else(|| "–".to_owned(), |row| micros(row.read_us)))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn throughput(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.throughput.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### Small tasks a second, up to 64 unanswered, two cores\n\n| | |\n| --- | --- |")?;
    for row in &report.throughput {
        writeln!(out, "| {} | {} |", label(&row.contestant), grouped(row.tasks_per_second))?;
    }
    Ok(())
}

fn durable(report: &Report, out: &mut String) -> std::fmt::Result {
    if let Some(row) = &report.submissions {
        writeln!(out, "\n### Durable submissions a second\n\n| | |\n| --- | --- |")?;
        writeln!(out, "| a thousand tasks at a time | {} |", grouped(row.batched_per_second))?;
        writeln!(out, "| one by one, {} clients | {} |", row.clients, grouped(row.one_by_one_per_second))?;
        writeln!(out, "| fsyncs of a page on the same disk | {} |", grouped(row.fsyncs_per_second))?;
    }
    if let Some(row) = &report.reunion {
        writeln!(
            out,
            "\n### A start after a kill\n\n| trainers that went on | without an orchestrator | all back after |\n\
             | --- | --- | --- |\n| {} | {:.0} s | {:.2} s |",
            row.trainers, row.down_seconds, row.seconds
        )?;
    }
    if !report.restarts.is_empty() {
        writeln!(out, "\n### A start, by what is in the journal\n")?;
        writeln!(
            out,
            "| tasks that ended | that wait | seconds | resident at most |\n| --- | --- | --- | --- |"
        )?;
    }
    for row in &report.restarts {
        let mib = row.peak_bytes / f64::from(1 << 20);
        writeln!(
            out,
            "| {} | {} | {:.2} | {mib:.0} MiB |",
            grouped(row.finished as f64),
            grouped(row.queued as f64),
            row.seconds
        )?;
    }
    Ok(())
}

fn reports(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.reports.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### Reports of a step, a loss and three metrics\n")?;
    writeln!(
        out,
        "| | CPU of the trainer a report | rows decoded a second | thinned |\n| --- | --- | --- | --- |"
    )?;
    for row in &report.reports {
        let name = label(&row.contestant);
        let thinned = 100.0 * row.thinned;
        writeln!(
            out,
            "| {name} | {:.3} µs | {} | {thinned:.1} % |",
            row.cpu_us,
            grouped(row.rows_per_second)
        )?;
    }
    Ok(())
}

fn memory(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.memory.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n### What a task of 256 MiB that is only viewed adds to its reader's peak memory\n\n| | |\n| --- | --- |"
    )?;
    for row in &report.memory {
        let mib = row.peak_growth_bytes as f64 / f64::from(1 << 20);
        writeln!(out, "| {} | {mib:.1} MiB |", label(&row.contestant))?;
    }
    Ok(())
}

fn sockets(report: &Report, out: &mut String) -> std::fmt::Result {
    let Some(row) = report.sockets.first() else { return Ok(()) };
    writeln!(out, "\n### {} jobs in one process, each with a socket and a trainer\n", row.jobs)?;
    writeln!(
        out,
        "| | first tasks a second | CPU of the server each | memory each | of a core, for 10,000 heartbeats a second |\n| --- | --- | --- | --- | --- |"
    )?;
    for row in &report.sockets {
        let name = label(&row.contestant);
        let (cpu, kib, share) = (row.cpu_us_per_job, row.bytes_per_job / 1024.0, 100.0 * row.core_share);
        let rate = grouped(row.first_tasks_per_second);
        writeln!(out, "| {name} | {rate} | {cpu:.1} µs | {kib:.2} KiB | {share:.1} % |")?;
    }
    Ok(())
}

fn rest(report: &Report, out: &mut String) -> std::fmt::Result {
    if let Some(import) = &report.import {
        let over = import.import_ms - import.bare_ms;
        writeln!(out, "\n`import trainwire`: {over:.1} ms over bare Python ({:.1} ms).", import.bare_ms)?;
    }
    if let Some(idle) = &report.idle {
        let (ours, bare) = (idle.trainwire_cpu_ms_per_second, idle.bare_cpu_ms_per_second);
        writeln!(
            out,
            "\n{} trainers beating once a second: {ours:.2} ms of CPU a second; a bare tokio server {bare:.2} ms.",
            idle.trainers
        )?;
    }
    Ok(())
}

pub fn micros(micros: f64) -> String {
    match micros {
        ..100.0 => format!("{micros:.1} µs"),
        ..1_000.0 => format!("{micros:.0} µs"),
        ..100_000.0 => format!("{:.2} ms", micros / 1e3),
        ..1_000_000.0 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.1} s", micros / 1e6),
    }
}

/// Sizes just below a power of two leave room for the fields; they are called by it.
pub fn bytes(size_bytes: usize) -> String {
    match size_bytes {
        ..=1_023 => format!("{size_bytes} B"),
        1_024..=1_048_575 => format!("{} KiB", size_bytes.div_ceil(1 << 10)),
        1_048_576..=1_073_741_823 => format!("{} MiB", size_bytes >> 20),
        _ => format!("{} GiB", size_bytes >> 30),
    }
}

/// With commas between thousands.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit_their_numbers() {
        assert_eq!(["9.9 µs", "123 µs", "1.23 ms", "250 ms"], [9.94, 123.4, 1234.0, 250_000.0].map(micros));
        assert_eq!([999_000.0, 5_694_000.0].map(micros), ["999 ms", "5.7 s"]);
        assert_eq!([999.4, 1_000.0, 1_234_567.0].map(grouped), ["999", "1,000", "1,234,567"]);
        assert_eq!(["160 B", "64 KiB", "1 MiB", "1 GiB"], [160, 65_280, 1 << 20, 1 << 30].map(bytes));
    }
}
