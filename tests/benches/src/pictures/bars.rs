//! One figure for each contestant, as bars.

use super::class;
use super::svg::{Anchor, MARGIN, Svg};
use crate::contestants::label;
use crate::report::Report;
use crate::tables::grouped;

const WIDTH: f64 = 900.0;
const TOP: f64 = 78.0;
const LEFT: f64 = 236.0;
const RIGHT: f64 = WIDTH - 110.0;
const ROW: f64 = 30.0;
const BAR: f64 = 18.0;

pub(super) fn throughput(report: &Report) -> Option<String> {
    let rows = report.throughput.iter().map(|row| (row.contestant.as_str(), row.tasks_per_second));
    let rows = sorted(rows, |one, other| other.total_cmp(&one));
    let title = "Small tasks a second";
    let subtitle = "256 bytes each, all answered, up to 64 unanswered; two cores. More is better";
    draw(report, title, subtitle, &rows, grouped)
}

pub(super) fn memory(report: &Report) -> Option<String> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let rows = report.memory.iter().map(|row| (row.contestant.as_str(), mib(row.peak_growth_bytes)));
    let rows = sorted(rows, |one, other| one.total_cmp(&other));
    let title = "What looking at a task of 256 MiB adds to its reader's memory";
    let subtitle = "Growth of the peak of resident memory, the task's own bytes included. Less is better";
    draw(report, title, subtitle, &rows, |mib| format!("{mib:.1} MiB"))
}

type Row<'a> = (&'a str, f64);

fn sorted<'a>(
    rows: impl Iterator<Item = Row<'a>>,
    order: impl Fn(f64, f64) -> std::cmp::Ordering,
) -> Vec<Row<'a>> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|one, other| order(one.1, other.1));
    rows
}

fn draw(
    report: &Report,
    title: &str,
    subtitle: &str,
    rows: &[Row<'_>],
    value: impl Fn(f64) -> String,
) -> Option<String> {
    let most = rows.iter().map(|row| row.1).max_by(f64::total_cmp)?;
    let bottom = TOP + ROW * rows.len() as f64;
    let height = bottom + 42.0;
    let mut svg = Svg::new(WIDTH, height, title, subtitle);
    for (number, (contestant, figure)) in rows.iter().enumerate() {
        let middle = TOP + ROW * (number as f64 + 0.5);
        let length = ((RIGHT - LEFT) * figure / most).max(1.5);
        let class = class(contestant);
        svg.text(LEFT - 12.0, middle + 4.0, Anchor::End, &format!("name {class}"), label(contestant));
        svg.bar(LEFT, middle - BAR / 2.0, length, BAR, class);
        svg.text(LEFT + length + 8.0, middle + 4.0, Anchor::Start, &format!("name {class}"), value(*figure));
    }
    svg.line((LEFT, TOP), (LEFT, bottom), "axis");
    svg.text(MARGIN, height - 14.0, Anchor::Start, "tick", &report.machine);
    Some(svg.finish())
}
