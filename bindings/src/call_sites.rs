//! Where `report()` was called from lately, so that of a call that looks like an earlier one nothing
//! but its numbers is looked at.
//!
//! A call site always passes the same tuple of keyword names, and the keys of a dict that is written
//! out there are the same strings each time: what is the same object has the same text, for as long
//! as it is kept alive here. Calls that make their names anew (`report(**row)` with keys put together
//! on the fly) are not recognized, and take the long way.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::session::{Numbers, Row, RowBuffer, Shape};

/// The last used one first.
#[derive(Default)]
pub(crate) struct CallSites(Vec<CallSite>);

/// The numbers of one call and, by their addresses, the names: of the mapping, then of the keywords,
/// step and epoch among them.
pub(crate) struct Gathered {
    pub(crate) values: [f64; NUMBERS_MAX],
    /// Of objects that are alive; of the mapping's only.
    pub(crate) keys: [usize; NUMBERS_MAX],
    pub(crate) mapping_len: usize,
    pub(crate) len: usize,
}

/// A call that cannot be put in like this.
pub(crate) enum Unfit {
    /// Nothing like it has been seen lately.
    Unknown,
    /// It has to go the long way.
    Numbers,
}

pub(crate) struct CallSite {
    /// Of the mapping, in its order.
    keys: Vec<Py<PyString>>,
    keywords: Option<Py<PyTuple>>,
    /// Of the metrics.
    names: Vec<String>,
    /// Where they are among the numbers of a call.
    step: Option<usize>,
    epoch: Option<usize>,
    shape: Option<Shape>,
}

impl CallSites {
    /// Appends the row of a call that looks like an earlier one. Neither allocates (but at a new
    /// shape) nor touches a reference count.
    pub(crate) fn put(
        &mut self,
        rows: &mut RowBuffer,
        (delivery, time_us): (Delivery, u64),
        keywords: Option<&Bound<'_, PyTuple>>,
        gathered: &Gathered,
    ) -> Result<(), Unfit> {
        let at = self.0.iter().position(|site| site.looks_like(keywords, gathered));
        let at = at.ok_or(Unfit::Unknown)?;
        self.0.swap(0, at);
        self.0[0].put(rows, (delivery, time_us), gathered)
    }

    /// Gives back the site whose place it takes, to be dropped where dropping may run foreign code.
    pub(crate) fn add(&mut self, site: CallSite) -> Option<CallSite> {
        let oldest = if self.0.len() >= CALL_SITES_MAX { self.0.pop() } else { None };
        self.0.insert(0, site);
        oldest
    }
}

impl CallSite {
    /// `None` if its names are not plain strings.
    pub(crate) fn new(
        mapping: Option<&Bound<'_, PyDict>>,
        keywords: Option<&Bound<'_, PyTuple>>,
        gathered: &Gathered,
    ) -> Option<Self> {
        let mut site = Self {
            keys: Vec::new(),
            keywords: keywords.map(|keywords| keywords.clone().unbind()),
            names: Vec::new(),
            step: None,
            epoch: None,
            shape: None,
        };
        for key in mapping.map(|mapping| mapping.keys()).into_iter().flatten() {
            let key = key.cast_into_exact::<PyString>().ok()?;
            site.names.push(key.to_str().ok()?.to_owned());
            site.keys.push(key.unbind());
        }
        for (at, name) in keywords.into_iter().flatten().enumerate() {
            let name = name.cast_into_exact::<PyString>().ok()?;
            match name.to_str().ok()? {
                "step" => site.step = Some(gathered.mapping_len + at),
                "epoch" => site.epoch = Some(gathered.mapping_len + at),
                name => site.names.push(name.to_owned()),
            }
        }
        // The mapping may have changed since it was gathered.
        site.looks_like(keywords, gathered).then_some(site)
    }

    fn looks_like(&self, keywords: Option<&Bound<'_, PyTuple>>, gathered: &Gathered) -> bool {
        let same_keywords = match (&self.keywords, keywords) {
            (None, None) => true,
            (Some(known), Some(given)) => {
                known.is(given) || same_items(known.bind_borrowed(given.py()).as_any(), given)
            }
            _ => false,
        };
        let keys = gathered.keys.get(..gathered.mapping_len).unwrap_or_default();
        same_keywords
            && self.keys.len() == keys.len()
            && self.keys.iter().zip(keys).all(|(known, given)| known.as_ptr().addr() == *given)
    }

    fn put(
        &mut self,
        rows: &mut RowBuffer,
        (delivery, time_us): (Delivery, u64),
        gathered: &Gathered,
    ) -> Result<(), Unfit> {
        let number = |at: Option<usize>| at.and_then(|at| gathered.values.get(at).copied());
        let epoch = number(self.epoch);
        let step = number(self.step).map(whole).transpose()?;
        let values = self.metrics(gathered.values.get(..gathered.len).unwrap_or_default());
        let row = Numbers { time_us, step, epoch, values };
        if self.shape.is_some_and(|shape| rows.push(shape, delivery, row)) {
            return Ok(());
        }
        let metrics: Vec<_> = self.names.iter().map(|name| (name.as_str(), 0.0)).collect();
        self.shape = rows.shape_of(delivery, &Row { time_us, step, epoch, metrics: &metrics });
        let pushed = self.shape.is_some_and(|shape| rows.push(shape, delivery, row));
        if pushed { Ok(()) } else { Err(Unfit::Numbers) }
    }

    /// All numbers but step and epoch.
    fn metrics<'a>(&self, values: &'a [f64]) -> [&'a [f64]; 3] {
        let (first, second) = match (self.step, self.epoch) {
            (Some(step), Some(epoch)) => (step.min(epoch), step.max(epoch)),
            (Some(one), None) | (None, Some(one)) => (one, values.len()),
            (None, None) => return [values, &[], &[]],
        };
        [
            values.get(..first).unwrap_or_default(),
            values.get(first + 1..second).unwrap_or_default(),
            values.get(second + 1..).unwrap_or_default(),
        ]
    }
}

/// Of a step that a float holds exactly.
fn whole(number: f64) -> Result<i64, Unfit> {
    if number.fract() != 0.0 || number.abs() > FLOAT_INTEGERS_MAX {
        return Err(Unfit::Numbers);
    }
    // Whole and within range, as was just checked.
    #[allow(clippy::cast_possible_truncation)]
    Ok(number as i64)
}

fn same_items(one: &Bound<'_, PyAny>, other: &Bound<'_, PyTuple>) -> bool {
    let Ok(one) = one.cast::<PyTuple>() else { return false };
    one.len() == other.len()
        && one.iter_borrowed().zip(other.iter_borrowed()).all(|(one, other)| one.is(&*other))
}

/// A call with more numbers takes the long way.
pub(crate) const NUMBERS_MAX: usize = 32;

/// A training loop has one or two; calls that never look the same shall not fill the memory.
const CALL_SITES_MAX: usize = 8;

/// 2⁵³ − 1
const FLOAT_INTEGERS_MAX: f64 = 9_007_199_254_740_991.0;
