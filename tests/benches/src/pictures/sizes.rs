//! How long a task of a size takes until it can be read, from 1 KiB to 1 GiB.

use super::class;
use super::svg::{Anchor, MARGIN, Svg};
use crate::contestants::label;
use crate::report::{Report, Size};
use crate::tables::{bytes, micros};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 292.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = HEIGHT - 54.0;

pub(super) fn draw(report: &Report) -> Option<String> {
    let curves = curves(&report.sizes);
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let sizes = extent(points().map(|(size, _)| *size))?;
    let times = extent(points().map(|(_, time)| *time))?;
    let (first, last) = (times.0.log10().floor(), times.1.log10().ceil());
    let x = |size: f64| LEFT + (RIGHT - LEFT) * (size / sizes.0).log2() / (sizes.1 / sizes.0).log2();
    let y = |time: f64| BOTTOM - (BOTTOM - TOP) * (time.log10() - first) / (last - first);

    let title = "A task from Rust to NumPy, by its size";
    let subtitle = "From its bytes being there until four fields are read and a view exists; produced in place where that is possible";
    let mut svg = Svg::new(WIDTH, HEIGHT, title, subtitle);
    for decade in first as i32..=last as i32 {
        let time = 10_f64.powi(decade);
        svg.line((LEFT, y(time)), (RIGHT, y(time)), "grid");
        svg.text(LEFT - 10.0, y(time) + 4.0, Anchor::End, "tick", tick(time));
    }
    let mut size = sizes.0;
    while size <= sizes.1 * 1.01 {
        svg.line((x(size), BOTTOM), (x(size), BOTTOM + 5.0), "axis");
        svg.text(x(size), BOTTOM + 22.0, Anchor::Middle, "tick", bytes(size as usize));
        size *= 16.0;
    }
    svg.line((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis");

    // Ours are drawn last, so that they lie on top.
    for curve in curves.iter().rev() {
        let points: Vec<_> = curve.points.iter().map(|(size, time)| (x(*size), y(*time))).collect();
        svg.path(&points, class(curve.contestant));
        if class(curve.contestant) != "other" && class(curve.contestant) != "floor" {
            points.iter().for_each(|point| svg.dot(*point, class(curve.contestant)));
        }
    }
    let mut ends: Vec<(&Curve<'_>, f64, f64)> = curves
        .iter()
        .filter_map(|curve| curve.points.last().map(|(size, time)| (curve, x(*size), y(*time))))
        .collect();
    ends.sort_by(|one, other| one.2.total_cmp(&other.2));
    let places = apart(&ends.iter().map(|end| end.2).collect::<Vec<_>>());
    for ((curve, end_x, end_y), place) in ends.into_iter().zip(places) {
        svg.path(&[(end_x + 5.0, end_y), (RIGHT + 14.0, place), (RIGHT + 20.0, place)], "leader");
        let last = curve.points.last().map_or(0.0, |(_, time)| *time);
        let name = format!("{}: {}", label(curve.contestant), micros(last));
        svg.text(
            RIGHT + 24.0,
            place + 4.0,
            Anchor::Start,
            &format!("name {}", class(curve.contestant)),
            name,
        );
    }
    svg.text(MARGIN, HEIGHT - 12.0, Anchor::Start, "tick", &report.machine);
    Some(svg.finish())
}

/// One contestant, as fast as it goes.
struct Curve<'a> {
    contestant: &'a str,
    /// Bytes and microseconds.
    points: Vec<(f64, f64)>,
}

fn curves(rows: &[Size]) -> Vec<Curve<'_>> {
    let mut curves: Vec<Curve<'_>> = Vec::new();
    for row in rows {
        let in_place = rows.iter().any(|other| {
            other.in_place && other.contestant == row.contestant && other.size_bytes == row.size_bytes
        });
        if in_place && !row.in_place {
            continue;
        }
        // Sizes just below a power of two leave room for the fields; they are called by it.
        let point = (row.size_bytes.next_power_of_two() as f64, row.read_us);
        match curves.iter_mut().find(|curve| curve.contestant == row.contestant) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { contestant: &row.contestant, points: vec![point] }),
        }
    }
    let order = ["own", "slab", "rival", "floor", "other"];
    curves.sort_by_key(|curve| order.iter().position(|class_| *class_ == class(curve.contestant)));
    curves
}

fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((least, most)) => Some((value.min(least), value.max(most))),
    })
}

fn tick(micros: f64) -> String {
    match micros {
        ..1e3 => format!("{micros} µs"),
        ..1e6 => format!("{} ms", micros / 1e3),
        _ => format!("{} s", micros / 1e6),
    }
}

/// Places of labels that do not touch, near the wanted ones, which ascend.
fn apart(wanted: &[f64]) -> Vec<f64> {
    let mut places = wanted.to_vec();
    for _ in 0..200 {
        for next in 1..places.len() {
            let overlap = LABEL_HEIGHT - (places[next] - places[next - 1]);
            if overlap > 0.0 {
                places[next - 1] -= overlap / 2.0;
                places[next] += overlap / 2.0;
            }
        }
    }
    places
}

const LABEL_HEIGHT: f64 = 17.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_touch_and_stay_near() {
        let places = apart(&[10.0, 11.0, 12.0, 100.0]);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] > LABEL_HEIGHT - 0.01), "{places:?}");
        assert_eq!((places[1].round(), places[3]), (11.0, 100.0));
    }
}
