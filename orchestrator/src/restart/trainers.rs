//! The trainers of the past: which of them still run.
//!
//! A pid is never trusted: it names whoever has the number now. With the start time and the boot it names
//! one process, of which a pidfd is taken and kept.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::past::{Past, Process};
use crate::error::StartError;
use crate::process::{self, TrainerProcess};
use crate::record::{DeliveryNo, TrainerNo};
use crate::scheduler::{Trainer, TrainerState};

/// What has become of a trainer.
pub(crate) enum Found {
    /// It runs, or has ended and was not reaped yet.
    Alive {
        process: TrainerProcess,
        /// Where in its log each delivery it has begins, oldest first.
        marks: VecDeque<(DeliveryNo, u64)>,
    },
    /// It is gone, or was never known to run. What it started may be left.
    Gone { log_tail: String },
    /// Started by hand, and gone too soon to be known: nothing but a Hello tells.
    Unseen,
}

/// Looks for them.
pub(super) struct Finder<'a> {
    past: &'a Past,
}

impl<'a> Finder<'a> {
    pub(super) fn new(past: &'a Past) -> Self {
        Self { past }
    }

    /// # Errors
    /// No descriptor is left.
    pub(super) fn find(&self, number: TrainerNo, trainer: &Trainer) -> Result<Found, StartError> {
        let known = self.past.processes.get(&number);
        let token = match &trainer.state {
            TrainerState::Spawning { token, .. } | TrainerState::Bound { token: Some(token), .. } => *token,
            TrainerState::Bound { token: None, .. } => return found_by_hand(known),
            TrainerState::Ended { .. } => return Ok(Found::Unseen),
        };
        // Whoever was started in the last moment and not journaled has done nothing yet.
        let Some(known) = known else { return Ok(Found::Gone { log_tail: String::new() }) };
        let mark = |delivery: &DeliveryNo| Some((*delivery, *self.past.log_from.get(delivery)?));
        let marks: VecDeque<_> = trainer.in_hand.iter().filter_map(mark).collect();
        let adopted =
            known.identity.map(|identity| TrainerProcess::adopted(&identity, known.log.clone(), &token));
        match adopted {
            Some(Ok(Some(process))) => Ok(Found::Alive { process, marks }),
            Some(Err(error)) => Err(no_sight(&error)),
            Some(Ok(None)) | None => {
                let from = marks.front().map_or(0, |(_, from)| *from);
                Ok(Found::Gone { log_tail: process::tail(&known.log, from) })
            }
        }
    }
}

/// A trainer that was started by hand.
fn found_by_hand(known: Option<&Process>) -> Result<Found, StartError> {
    let Some(identity) = known.and_then(|known| known.identity) else { return Ok(Found::Unseen) };
    match identity.open().map_err(|error| no_sight(&error))? {
        Some(pidfd) => {
            let process = TrainerProcess::attached(Arc::new(pidfd));
            Ok(Found::Alive { process, marks: VecDeque::new() })
        }
        None => Ok(Found::Gone { log_tail: String::new() }),
    }
}

fn no_sight(error: &io::Error) -> StartError {
    StartError::System { what: "sight of a trainer's process", text: error.to_string() }
}
