//! The figures that matter most, each with what it is to be compared with: the table in the README.

use std::fmt::Write;

use crate::contestants::{FLOOR, TRAINWIRE, TRAINWIRE_SLAB, label};
use crate::report::Report;
use crate::tables::{bytes, grouped, micros};

/// What was measured, what it is beside in the same run, and trainwire.
type Row = (String, String, String);

/// The table.
pub fn markdown(report: &Report) -> String {
    let mut out = format!("{}; {}; medians.\n\n", report.machine, report.software);
    out.push_str("| | beside it, in the same run | trainwire |\n| --- | --- | --- |\n");
    let parts = [latency, sizes, memory, reports, sockets, durable, rest];
    for (what, beside, own) in parts.into_iter().flat_map(|part| part(report)) {
        writeln!(out, "| {what} | {beside} | {own} |").expect("a String takes all");
    }
    out
}

fn latency(report: &Report) -> Vec<Row> {
    let floors = report.latency.iter().filter(|row| row.contestant == FLOOR.name);
    let rows = floors.filter_map(|floor| {
        let own = report.latency.iter().find(|row| {
            row.contestant == TRAINWIRE.name && row.cores == floor.cores && row.size_bytes == floor.size_bytes
        })?;
        let what = format!(
            "a task of {} until four fields are read and a NumPy view exists, {}",
            bytes(own.size_bytes),
            own.cores
        );
        let (floor, own) = (floor.read_p50_us, own.read_p50_us);
        let beside = format!("Rust `write` → Python `recv_into`: {}", micros(floor));
        Some((what, beside, format!("{}, {:.2} ×", micros(own), own / floor)))
    });
    rows.collect()
}

/// Beside the quickest of the others.
fn sizes(report: &Report) -> Vec<Row> {
    let find = |contestant: &str, in_place: bool, size_bytes: usize| {
        let row = report.sizes.iter().find(|row| {
            row.contestant == contestant && row.in_place == in_place && row.size_bytes == size_bytes
        });
        row.map(|row| row.read_us)
    };
    let best = |in_place: bool, size_bytes: usize| {
        let others = report.sizes.iter().filter(|row| {
            let own = row.contestant == TRAINWIRE.name || row.contestant == TRAINWIRE_SLAB.name;
            !own && row.contestant != FLOOR.name && row.in_place == in_place && row.size_bytes == size_bytes
        });
        let best = others.min_by(|one, other| one.read_us.total_cmp(&other.read_us));
        best.map_or_else(
            || "–".to_owned(),
            |row| format!("{}: {}", label(&row.contestant), micros(row.read_us)),
        )
    };
    let wanted = [(true, 256 << 20), (true, 1 << 30), (false, 16 << 20), (false, 256 << 20)];
    let rows = wanted.into_iter().filter_map(|(in_place, size_bytes)| {
        let sealed = find(TRAINWIRE.name, in_place, size_bytes)?;
        let slab = find(TRAINWIRE_SLAB.name, in_place, size_bytes)?;
        let how = if in_place { "produced in place" } else { "from the producer's heap" };
        let what = format!("a task of {}, {how}, two cores", bytes(size_bytes));
        let own = format!("sealed {}, slab {}", micros(sealed), micros(slab));
        Some((what, best(in_place, size_bytes), own))
    });
    rows.collect()
}

fn memory(report: &Report) -> Vec<Row> {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let own = report.memory.iter().find(|row| row.contestant == TRAINWIRE.name);
    let others = report.memory.iter().filter(|row| !row.contestant.starts_with(TRAINWIRE.name));
    let (least, most) = (
        others.clone().min_by_key(|row| row.peak_growth_bytes),
        others.max_by_key(|row| row.peak_growth_bytes),
    );
    let row = own.zip(least.zip(most)).map(|(own, (least, most))| {
        let what = format!("memory that looking at a task of {} takes", bytes(own.size_bytes));
        let (low, high) = (mib(least.peak_growth_bytes), mib(most.peak_growth_bytes));
        (what, format!("others {low} to {high}"), mib(own.peak_growth_bytes))
    });
    row.into_iter().collect()
}

fn reports(report: &Report) -> Vec<Row> {
    let row = report.reports.iter().find(|row| row.contestant == TRAINWIRE.name).map(|row| {
        let what = "`report()` of a step, a loss and three metrics: CPU of the trainer; decoded a second";
        (what.to_owned(), String::new(), format!("{:.2} µs; {}", row.cpu_us, grouped(row.rows_per_second)))
    });
    row.into_iter().collect()
}

fn sockets(report: &Report) -> Vec<Row> {
    let find = |name: &str| report.sockets.iter().find(|row| row.contestant == name);
    let Some((floor, own)) = find(FLOOR.name).zip(find(TRAINWIRE.name)) else { return Vec::new() };
    let jobs = grouped(own.jobs as f64);
    let row = |what: &str, floor: String, own: String| {
        (format!("{jobs} jobs in one process: {what}"), format!("bare tokio: {floor}"), own)
    };
    let kib = |bytes: f64| format!("{:.2} KiB", bytes / 1024.0);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    vec![
        row(
            "trainers that got their first task, a second",
            grouped(floor.first_tasks_per_second),
            grouped(own.first_tasks_per_second),
        ),
        row("memory each", kib(floor.bytes_per_job), kib(own.bytes_per_job)),
        row("of a core, for 10,000 heartbeats a second", percent(floor.core_share), percent(own.core_share)),
    ]
}

fn durable(report: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(row) = &report.submissions {
        let beside = format!("{} fsyncs of a page on this disk", grouped(row.fsyncs_per_second));
        let what = "durable submissions a second, a thousand tasks at a time";
        rows.push((what.to_owned(), beside, grouped(row.batched_per_second)));
        let what = format!("durable submissions a second, one by one from {} clients", row.clients);
        rows.push((what, String::new(), grouped(row.one_by_one_per_second)));
    }
    if let Some(row) = report.restarts.last() {
        let what = format!(
            "start on a journal of {} tasks that ended and {} that wait",
            grouped(row.finished as f64),
            grouped(row.queued as f64)
        );
        let mib = row.peak_bytes / f64::from(1 << 20);
        rows.push((what, String::new(), format!("{:.1} s, {mib:.0} MiB", row.seconds)));
    }
    rows
}

fn rest(report: &Report) -> Vec<Row> {
    let import = report.import.as_ref().map(|import| {
        let own = format!("{:.1} ms more", import.import_ms - import.bare_ms);
        ("`import trainwire`".to_owned(), format!("bare Python: {:.1} ms", import.bare_ms), own)
    });
    let idle = report.idle.as_ref().map(|idle| {
        let (bare, own) = (idle.bare_cpu_ms_per_second, idle.trainwire_cpu_ms_per_second);
        let what = format!("{} trainers beating once a second: CPU of the orchestrator", idle.trainers);
        (
            what,
            format!("bare tokio: {bare:.2} ms a second"),
            format!("{own:.2} ms a second, {:.1} ×", own / bare),
        )
    });
    import.into_iter().chain(idle).collect()
}
