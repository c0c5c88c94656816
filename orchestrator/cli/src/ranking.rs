//! Which tasks are better: by one metric, the most or the least of it.

use std::cmp::Ordering;

use trainwire::record::{Metrics, Scalar};

/// What a sweep is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranking {
    pub(crate) metric: String,
    pub(crate) best: Best,
}

/// Which end of it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Best {
    Most,
    Least,
}

impl Ranking {
    /// Of the two flags, or keys, at most one is given.
    pub(crate) fn new(maximize: Option<&str>, minimize: Option<&str>) -> Option<Self> {
        let of = |metric: &str, best| Self { metric: metric.to_owned(), best };
        maximize.map(|metric| of(metric, Best::Most)).or(minimize.map(|metric| of(metric, Best::Least)))
    }

    /// The metric among those a task finished with.
    pub(crate) fn result(&self, metrics: &Metrics) -> Option<f64> {
        metrics.iter().find_map(|(name, value)| match value {
            Scalar::Number(number) if *name == self.metric => Some(*number),
            _ => None,
        })
    }

    /// Better ones first; after them what is not a number, and who has said nothing.
    pub(crate) fn compare(&self, one: Option<f64>, other: Option<f64>) -> Ordering {
        let known = |value: Option<f64>| value.filter(|value| !value.is_nan());
        match (known(one), known(other)) {
            (Some(one), Some(other)) => match self.best {
                Best::Most => other.total_cmp(&one),
                Best::Least => one.total_cmp(&other),
            },
            (one, other) => other.is_some().cmp(&one.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(best: Best) -> Vec<Option<f64>> {
        let ranking = Ranking { metric: "loss".into(), best };
        let mut values = vec![None, Some(2.0), Some(f64::NEG_INFINITY), Some(f64::NAN), Some(3.0)];
        values.sort_by(|one, other| ranking.compare(*one, *other));
        values
    }

    #[test]
    fn better_ones_come_first_and_the_unknown_last() {
        assert_eq!(sorted(Best::Most)[..3], [Some(3.0), Some(2.0), Some(f64::NEG_INFINITY)]);
        assert_eq!(sorted(Best::Least)[..3], [Some(f64::NEG_INFINITY), Some(2.0), Some(3.0)]);
        assert!(sorted(Best::Least)[3..].iter().all(|value| value.is_none_or(f64::is_nan)));
    }

    #[test]
    fn a_text_of_the_same_name_is_no_number() {
        let ranking = Ranking::new(None, Some("loss")).unwrap();
        assert_eq!(ranking.result(&vec![("loss".into(), Scalar::Text("low".into()))]), None);
        assert_eq!(
            ranking.result(&vec![("a".into(), Scalar::Number(1.0)), ("loss".into(), Scalar::Number(2.0))]),
            Some(2.0)
        );
        assert_eq!(Ranking::new(None, None), None);
    }
}
