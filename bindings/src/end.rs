//! How a connection ends for good, and what that means to whoever waits.

use std::io;

use pyo3::prelude::*;
use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::message::{Bye, Refused};

use crate::errors::{Class, raise};

/// Whether there will be more work.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// There may be.
    NotYet,
    /// This end has said Bye.
    Leaving,
    /// The orchestrator has.
    Bye(Bye),
    /// It does not take this trainer.
    Refused(Refused),
    /// It broke the protocol, or another user listens.
    Failed { class: Class, code: String, text: String },
    /// There has been no orchestrator for `orphan_timeout`.
    Orphaned,
}

/// An end that is an error.
pub(crate) struct Failure(End);

impl End {
    pub(crate) fn broken(error: &ProtocolError) -> Self {
        Self::Failed { class: Class::Protocol, code: error.code().to_owned(), text: error.to_string() }
    }

    /// What `next()` does: `None` to wait on, `Ok(None)` for the end of the loop.
    pub(crate) fn for_next<T>(&self) -> Option<Result<Option<T>, Failure>> {
        match self {
            Self::NotYet => None,
            Self::Leaving | Self::Bye(_) | Self::Orphaned => Some(Ok(None)),
            Self::Refused(_) | Self::Failed { .. } => Some(Err(Failure(self.clone()))),
        }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        !matches!(self, Self::NotYet)
    }

    pub(crate) fn leave(&mut self) {
        if let Self::NotYet = self {
            *self = Self::Leaving;
        }
    }

    /// Whether another connection is worth trying.
    pub(crate) fn allows_reconnect(&self) -> bool {
        matches!(self, Self::NotYet | Self::Leaving | Self::Orphaned)
    }

    pub(crate) fn into_error(self, py: Python<'_>) -> PyErr {
        Failure(self).into_py(py)
    }

    /// The result that could not be kept anywhere.
    pub(crate) fn with_lost_result(self, py: Python<'_>, spool: &io::Error) -> PyErr {
        let (class, code, text) = self.describe();
        raise(py, class, &code, format!("{text}; and the result could not be written to the spool: {spool}"))
    }

    /// What was said cannot be sent, e.g. a result with too long a text.
    pub(crate) fn caller_error(py: Python<'_>, error: &ProtocolError) -> PyErr {
        raise(py, Class::Trainwire, error.code(), error.to_string())
    }

    pub(crate) fn describe(&self) -> (Class, String, String) {
        match self {
            Self::Refused(refused) => (Class::Refused, refused.code.clone(), refused.text.clone()),
            Self::Failed { class, code, text } => (*class, code.clone(), text.clone()),
            Self::Bye(bye) => {
                (Class::Connect, bye.code.clone(), format!("the orchestrator has no work: {}", bye.code))
            }
            Self::Orphaned => {
                (Class::Connect, "orphaned".to_owned(), "the orchestrator did not come back".to_owned())
            }
            Self::NotYet | Self::Leaving => {
                (Class::Connect, "no_answer".to_owned(), "the orchestrator does not answer".to_owned())
            }
        }
    }
}

impl Failure {
    pub(crate) fn into_py(self, py: Python<'_>) -> PyErr {
        let (class, code, text) = self.0.describe();
        raise(py, class, &code, text)
    }
}
