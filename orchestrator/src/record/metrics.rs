//! Metrics as records keep them.

use serde::{Deserialize, Serialize};

/// The last row of metrics an attempt reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastProgress {
    /// When: microseconds since 1970-01-01T00:00:00Z.
    pub time_us: u64,
    /// Optimizer step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
    /// Epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<f64>,
    /// The first 64 of its metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Metrics,
}

/// Named numbers and texts.
pub type Metrics = Vec<(String, Scalar)>;

/// A number or a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// Also integers and truth values. Not a number and the infinities are `null` in JSON.
    Number(#[serde(deserialize_with = "null_is_nan")] f64),
    /// E.g. a path.
    Text(String),
}

fn null_is_nan<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
