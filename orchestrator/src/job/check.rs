//! What a job must be, before anything is done for it.

use std::time::Duration;

use trainwire_protocol::id::{JobId, JobIdError};
use trainwire_protocol::limits::IN_HAND_MAX;

use super::JobSpec;

/// Why a [`JobSpec`] cannot be. Always the caller's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The id cannot be part of a socket's name.
    #[error(transparent)]
    JobId(#[from] JobIdError),
    /// A limit or the command makes no sense.
    #[error("{field} {problem}")]
    Field {
        /// Of [`JobSpec`].
        field: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: &'static str,
    },
}

impl SpecError {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::JobId(error) => error.code(),
            Self::Field { .. } => "bad_spec",
        }
    }
}

impl JobSpec {
    /// Checks what the Scheduler takes for granted, and gives the id.
    ///
    /// # Errors
    /// The first field that makes no sense.
    pub fn validate(&self) -> Result<JobId, SpecError> {
        let job_id = JobId::new(&self.job_id)?;
        let wrong = |field, problem| Err(SpecError::Field { field, problem });
        if self.script && self.command.is_empty() {
            return wrong("command", "is empty; a script job needs a program");
        }
        if self.command.first().is_some_and(String::is_empty) {
            return wrong("command", "starts with an empty text; its first is the program");
        }
        if self.command.iter().chain(self.environment.values()).any(|text| text.contains('\0')) {
            return wrong("command", "or environment holds a NUL, which no process can be given");
        }
        if self.environment.keys().any(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return wrong("environment", "has a name that is empty or holds '=' or NUL");
        }
        let counts = [
            ("trainers", self.trainers),
            ("window", self.window),
            ("max_failures", self.max_failures),
            ("max_losses", self.max_losses),
        ];
        if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return wrong(field, "must be at least 1");
        }
        if self.window as usize > IN_HAND_MAX {
            return wrong("window", "must be at most 1024");
        }
        if self.poll_us > POLL_US_MAX {
            return wrong("poll_us", "must be at most 1000: more than that is no short wait");
        }
        if self
            .slab
            .is_some_and(|size_bytes| !(SLAB_SIZE_BYTES_MIN..=SLAB_SIZE_BYTES_MAX).contains(&size_bytes))
        {
            return wrong("slab", "must be from 1 MiB to 1 TiB");
        }
        if self.gpus > 0 && self.slots > 0 {
            return wrong("slots", "and gpus are two names for one thing; set one of them");
        }
        if self.gpus.max(self.slots) > 0 && self.command.is_empty() {
            return wrong("gpus", "or slots need a command: trainers started by hand get none");
        }
        if self.gpus > 0 && self.environment.contains_key("CUDA_VISIBLE_DEVICES") {
            return wrong("environment", "sets CUDA_VISIBLE_DEVICES, which gpus sets for each trainer");
        }
        let durations = [
            ("recv_timeout", self.recv_timeout),
            ("start_timeout", self.start_timeout),
            ("stall_timeout", self.stall_timeout.unwrap_or(DURATION_MIN)),
            ("lost_timeout", self.lost_timeout),
            ("orphan_timeout", self.orphan_timeout),
        ];
        if let Some((field, _)) = durations.into_iter().find(|(_, duration)| *duration < DURATION_MIN) {
            return wrong(field, "must be at least 1 ms");
        }
        let waits = [
            ("stop_grace", self.stop_grace),
            ("term_grace", self.term_grace),
            ("backoff_min", self.backoff_min),
            ("backoff_max", self.backoff_max),
        ];
        let too_long = durations.into_iter().chain(waits).find(|(_, duration)| *duration > DURATION_MAX);
        if let Some((field, _)) = too_long {
            return wrong(field, "must be at most 10 years");
        }
        if self.lost_timeout < self.recv_timeout {
            return wrong(
                "lost_timeout",
                "must be at least recv_timeout: silence is shown before it is acted on",
            );
        }
        if self.backoff_max < self.backoff_min {
            return wrong("backoff_max", "must be at least backoff_min");
        }
        Ok(job_id)
    }
}

/// Longer waits are for sleeping.
const POLL_US_MAX: u32 = 1_000;

/// The smallest [slab](JobSpec::slab); less holds no task that would be worth it.
pub const SLAB_SIZE_BYTES_MIN: u64 = 1 << 20;

/// The largest [slab](JobSpec::slab): more than the memory of any machine this runs on: a slip of the unit.
pub const SLAB_SIZE_BYTES_MAX: u64 = 1 << 40;

/// Durations are whole milliseconds in the journal.
const DURATION_MIN: Duration = Duration::from_millis(1);

/// Ten years: any clock can hold a deadline that far away.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> JobSpec {
        JobSpec { job_id: "digits".into(), command: vec!["python".into()], ..JobSpec::default() }
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(valid().validate().map(|id| id.to_string()), Ok("digits".to_owned()));
    }

    #[test]
    fn a_field_that_makes_no_sense_is_named() {
        type Spoil = fn(&mut JobSpec);
        let cases: [(&str, Spoil); 15] = [
            ("slots", |spec| (spec.gpus, spec.slots) = (1, 1)),
            ("gpus", |spec| (spec.gpus, spec.command) = (1, Vec::new())),
            ("environment", |spec| {
                spec.gpus = 1;
                spec.environment.insert("CUDA_VISIBLE_DEVICES".into(), "0".into());
            }),
            ("poll_us", |spec| spec.poll_us = 1_001),
            ("slab", |spec| spec.slab = Some(4_096)),
            ("trainers", |spec| spec.trainers = 0),
            ("window", |spec| spec.window = 1025),
            ("max_losses", |spec| spec.max_losses = 0),
            ("command", |spec| spec.command = vec![String::new()]),
            ("command", |spec| (spec.script, spec.command) = (true, Vec::new())),
            ("environment", |spec| drop(spec.environment.insert("A=B".into(), String::new()))),
            ("recv_timeout", |spec| spec.recv_timeout = Duration::ZERO),
            ("stop_grace", |spec| spec.stop_grace = Duration::MAX),
            ("lost_timeout", |spec| spec.lost_timeout = Duration::from_secs(1)),
            ("backoff_max", |spec| spec.backoff_max = Duration::ZERO),
        ];
        for (named, spoil) in cases {
            let mut spec = valid();
            spoil(&mut spec);
            match spec.validate() {
                Err(SpecError::Field { field, .. }) => assert_eq!(field, named),
                other => panic!("{named}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_spec_outlives_its_json() {
        let json = serde_json::to_string(&valid()).unwrap();
        assert_eq!(serde_json::from_str::<JobSpec>(&json).unwrap(), valid());
        assert_eq!(serde_json::from_str::<JobSpec>("{}").unwrap(), JobSpec::default());
    }
}
