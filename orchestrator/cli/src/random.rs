//! Random search: parameters that are drawn, the same from the same seed on every machine.
//!
//! The value of a parameter in a sample depends on the seed, the parameter's name and the sample's number
//! alone: more samples keep the first ones, and another parameter changes no value of the others.

use toml::{Table, Value};

use crate::grid::{self, Combination, Point};
use crate::value;

/// A parameter and what it is drawn from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Random {
    pub(crate) name: String,
    from: Distribution,
}

#[derive(Clone, Debug, PartialEq)]
enum Distribution {
    /// Evenly.
    Uniform(f64, f64),
    /// Evenly in the logarithm.
    Log(f64, f64),
    /// Whole numbers, both ends among them.
    Int(i64, i64),
    /// One of these.
    Choice(Vec<Point>),
}

/// Reads `--random lr=log:1e-4..1e-1`.
pub(crate) fn parse(text: &str) -> Result<Random, String> {
    match text.split_once('=') {
        Some((name, from)) if !name.is_empty() => Random::new(name, from),
        _ => Err(format!("write name=distribution, e.g. lr=log:1e-4..1e-1; {HELP}")),
    }
}

impl Random {
    /// `from` as in `log:1e-4..1e-1`.
    pub(crate) fn new(name: &str, from: &str) -> Result<Self, String> {
        let (kind, rest) = from.split_once(':').ok_or_else(|| HELP.to_owned())?;
        let from = match kind {
            "uniform" => {
                let (low, high) = range::<f64>(rest)?;
                Distribution::Uniform(low, high)
            }
            "log" => match range::<f64>(rest)? {
                (low, high) if low > 0.0 => Distribution::Log(low, high),
                (low, _) => return Err(format!("{low} has no logarithm; begin above 0")),
            },
            "int" => {
                let (low, high) = range::<i64>(rest)?;
                Distribution::Int(low, high)
            }
            "choice" => Distribution::Choice(grid::parse_axis(&format!("{name}={rest}"))?.points),
            kind => {
                let nearest = KINDS.iter().min_by_key(|known| strsim::damerau_levenshtein(known, kind));
                let hint = nearest.map_or(String::new(), |known| format!("; did you mean {known}?"));
                return Err(format!("{kind} is no distribution{hint} {HELP}"));
            }
        };
        Ok(Self { name: name.to_owned(), from })
    }

    fn draw(&self, seed: u64, sample: u32) -> Point {
        let bits = splitmix(splitmix(seed ^ fnv1a(&self.name)).wrapping_add(u64::from(sample)));
        // 53 bits: from 0 to below 1.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        match &self.from {
            Distribution::Uniform(low, high) => number(low + unit * (high - low), *low, *high),
            Distribution::Log(low, high) => {
                number((low.ln() + unit * (high.ln() - low.ln())).exp(), *low, *high)
            }
            Distribution::Int(low, high) => {
                let drawn = low.wrapping_add_unsigned(below(bits, high.wrapping_sub(*low).cast_unsigned()));
                Point { text: drawn.to_string(), value: Value::Integer(drawn) }
            }
            Distribution::Choice(points) => {
                let last = u64::try_from(points.len().saturating_sub(1)).unwrap_or(0);
                let chosen = usize::try_from(below(bits, last)).unwrap_or(0);
                points.get(chosen).cloned().unwrap_or(Point { text: String::new(), value: value::typed("") })
            }
        }
    }
}

/// Each of the grid's tasks with each sample; without a grid the samples alone.
pub(crate) fn combine(
    grid: Vec<Combination>,
    random: &[Random],
    samples: u32,
    seed: u64,
) -> Result<Vec<Combination>, String> {
    if random.is_empty() {
        return Ok(grid);
    }
    let grid = if grid.is_empty() {
        vec![Combination { task_id: String::new(), params: Table::new() }]
    } else {
        grid
    };
    let size = usize::try_from(samples).ok().and_then(|samples| samples.checked_mul(grid.len()));
    if size.is_none_or(|size| size > grid::GRID_TASKS_MAX) {
        return Err(format!(
            "{samples} samples for each of {} are more than {} tasks",
            grid.len(),
            grid::GRID_TASKS_MAX
        ));
    }
    // As wide as the last one, so that they sort as they are counted.
    let width = samples.saturating_sub(1).to_string().len();
    let one = |before: &Combination, sample: u32| {
        let comma = if before.task_id.is_empty() { "" } else { "," };
        let mut task = before.clone();
        task.task_id.push_str(&format!("{comma}sample={sample:0width$}"));
        for parameter in random {
            let point = parameter.draw(seed, sample);
            task.task_id.push_str(&format!(",{}={}", parameter.name, point.text));
            task.params.insert(parameter.name.clone(), point.value);
        }
        task
    };
    Ok(grid.iter().flat_map(|before| (0..samples).map(move |sample| one(before, sample))).collect())
}

fn range<T: std::str::FromStr + PartialOrd>(text: &str) -> Result<(T, T), String> {
    let ends = text.split_once("..").and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
    match ends {
        Some((low, high)) if low < high => Ok((low, high)),
        Some(_) => Err(format!("{text} is empty: the second number has to be the greater one")),
        None => Err(format!("{text} is no range of such numbers; {HELP}")),
    }
}

/// Six significant digits: what differs between the logarithms of two machines is beyond them.
fn number(drawn: f64, low: f64, high: f64) -> Point {
    let rounded = format!("{drawn:.5e}").parse().unwrap_or(drawn).clamp(low, high);
    let plain = rounded.to_string();
    let text = if plain.len() > 10 { format!("{rounded:e}") } else { plain };
    Point { text, value: Value::Float(rounded) }
}

/// From 0 to `last`, evenly but for one part in 2^64 / `last`.
fn below(bits: u64, last: u64) -> u64 {
    let scaled = (u128::from(bits) * (u128::from(last) + 1)) >> 64;
    u64::try_from(scaled).unwrap_or(last)
}

/// Fowler, Noll and Vo's hash, 64 bits.
fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const KINDS: &[&str] = &["uniform", "log", "int", "choice"];

const HELP: &str = "there are uniform:0..1, log:1e-4..1e-1, int:2..8 and choice:relu,tanh";

/// In the trainers' environment, so that the journal keeps it.
pub(crate) const SEED_VARIABLE: &str = "TRAINWIRE_SWEEP_SEED";

/// Unless `--samples` says more.
pub(crate) const SAMPLES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(random: &[&str], samples: u32, seed: u64) -> Vec<String> {
        let random: Vec<_> = random.iter().map(|text| parse(text).unwrap()).collect();
        let tasks = combine(Vec::new(), &random, samples, seed).unwrap();
        tasks.into_iter().map(|task| task.task_id).collect()
    }

    #[test]
    fn a_seed_and_a_name_make_the_value() {
        let all = ids(&["lr=log:1e-4..1e-1", "act=choice:relu,tanh"], 20, 7);
        let fewer = ids(&["lr=log:1e-4..1e-1"], 11, 7);
        assert!(all.iter().zip(&fewer).all(|(all, fewer)| all.starts_with(fewer)), "{all:?} {fewer:?}");
        assert_ne!(all, ids(&["lr=log:1e-4..1e-1", "act=choice:relu,tanh"], 20, 8));
    }

    #[test]
    fn what_is_drawn_is_within_its_range_and_reaches_both_ends() {
        let random = [
            parse("n=int:-1..2").unwrap(),
            parse("u=uniform:0..1").unwrap(),
            parse("l=log:1e-3..1").unwrap(),
        ];
        let tasks = combine(Vec::new(), &random, 1_000, 1).unwrap();
        for n in -1..=2 {
            assert!(tasks.iter().any(|task| task.params["n"] == Value::Integer(n)), "{n}");
        }
        let of =
            |name: &str| tasks.iter().map(|task| task.params[name].as_float().unwrap()).collect::<Vec<_>>();
        assert!(of("u").iter().all(|u| (0.0..=1.0).contains(u)));
        assert!(of("l").iter().all(|l| (1e-3..=1.0).contains(l)));
        let below = of("l").iter().filter(|l| **l < 0.031_622_8).count();
        assert!((400..600).contains(&below), "half of them below the geometric mean: {below}");
    }

    /// The same as of `trainwire.sweep(random=…)`, which reads this file, too.
    #[test]
    fn draws_are_those_of_the_golden_vectors() {
        let vectors = include_str!("../../../tests/vectors/draws.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
        assert!(!vectors.is_empty());
        for vector in vectors {
            let python = vector["python"].as_object().unwrap();
            // In the order they are written in, which the ids have.
            let first = vector["tasks"][0]["task_id"].as_str().unwrap();
            let place = |name: &str| first.find(&format!(",{name}=")).unwrap();
            let mut random: Vec<_> = python
                .keys()
                .map(|name| Random::new(name, vector["random"][name].as_str().unwrap()).unwrap())
                .collect();
            random.sort_by_key(|random| place(&random.name));
            let samples = u32::try_from(vector["samples"].as_u64().unwrap()).unwrap();
            let drawn = combine(Vec::new(), &random, samples, vector["seed"].as_u64().unwrap()).unwrap();
            let drawn: Vec<_> = drawn
                .into_iter()
                .map(|task| serde_json::json!({ "task_id": task.task_id, "params": task.params }))
                .collect();
            assert_eq!(serde_json::Value::from(drawn), vector["tasks"], "{}", vector["name"]);
        }
    }

    #[test]
    fn slips_are_refused() {
        for text in
            ["lr", "lr=1..2", "lr=log:0..1", "lr=int:3..2", "lr=int:0.5..2", "=int:1..2", "lr=unifrm:0..1"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("lr=unifrm:0..1").unwrap_err().contains("did you mean uniform?"));
    }
}
