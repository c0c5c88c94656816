//! What a trainer wrote about its own end, where PyTorch does: in the file `TORCHELASTIC_ERROR_FILE`
//! names. `torch.distributed.elastic.multiprocessing.errors.record` writes an exception there, and
//! torchrun copies that of the first rank that failed.
//!
//! ```json
//! {"message": {"message": "ValueError: lr is -1.0",
//!              "extraInfo": {"py_callstack": "Traceback …", "timestamp": "1795495146"}, "errorCode": 1}}
//! ```
//!
//! Others write `{"message": "text", "timestamp": 1795495146}`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::record::TrainerFailure;

/// Beside the trainer's log, so that each process has its own.
pub(super) fn beside(log: &Path) -> PathBuf {
    log.with_extension("error.json")
}

/// What it says; `None` where there is nothing, or nothing that can be read.
pub(super) fn read(path: &Path) -> Option<TrainerFailure> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_SIZE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Option<TrainerFailure> {
    let file: Value = serde_json::from_slice(bytes).ok()?;
    let message = file.get("message")?;
    let text = message.as_str().or_else(|| message.get("message")?.as_str())?;
    let traceback = message.pointer("/extraInfo/py_callstack").and_then(Value::as_str).unwrap_or_default();
    // `f"{type(e).__name__}: {e}"`
    let is_class =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "._".contains(c));
    let (kind, text) = text.split_once(": ").filter(|(kind, _)| is_class(kind)).unwrap_or(("", text));
    Some(TrainerFailure {
        kind: kind.to_owned(),
        text: last(text, TEXT_SIZE_BYTES_MAX).to_owned(),
        traceback: last(traceback.trim_end(), TRACEBACK_SIZE_BYTES_MAX).to_owned(),
        fatal: false,
    })
}

/// At most so many bytes of the end.
fn last(text: &str, size_max: usize) -> &str {
    let from = text.len().saturating_sub(size_max);
    // A character has at most four bytes.
    (from..from + 4).find_map(|from| text.get(from..)).unwrap_or_default()
}

/// A longer one is cut, and then is no JSON.
const FILE_SIZE_BYTES_MAX: u64 = 1 << 20;

/// Bound what one failure adds to the journal.
const TEXT_SIZE_BYTES_MAX: usize = 4 << 10;
const TRACEBACK_SIZE_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by torch 2.9: by `record` in a worker, then by torchrun.
    const OF_WORKER: &str = r#"{"message": {"message": "ValueError: lr is -1.0: must be positive", "extraInfo": {"py_callstack": "Traceback (most recent call last):\n  File \"gen.py\", line 10, in <module>\n    train(-1.0)\n  File \"gen.py\", line 8, in train\n    raise ValueError(f\"lr is {lr}: must be positive\")\nValueError: lr is -1.0: must be positive\n", "timestamp": "1795495146"}}}"#;
    const OF_TORCHRUN: &str = r#"{"message": {"message": "ValueError: lr is -1.0: must be positive", "extraInfo": {"py_callstack": "Traceback (most recent call last):\n  File \"gen.py\", line 10, in <module>\n    train(-1.0)\n  File \"gen.py\", line 8, in train\n    raise ValueError(f\"lr is {lr}: must be positive\")\nValueError: lr is -1.0: must be positive\n", "timestamp": "1795495146"}, "errorCode": 1}}"#;

    #[test]
    fn what_torch_writes_is_read() {
        for file in [OF_WORKER, OF_TORCHRUN] {
            let failure = parse(file.as_bytes()).unwrap();
            assert_eq!(failure.to_string(), "ValueError: lr is -1.0: must be positive");
            assert!(failure.traceback.starts_with("Traceback (most recent call last):\n"));
            assert!(failure.traceback.ends_with("ValueError: lr is -1.0: must be positive"));
        }
        let plain = parse(br#"{"message": "out of budget: stop", "timestamp": 1}"#).unwrap();
        assert_eq!(plain.to_string(), "out of budget: stop");
    }

    #[test]
    fn anything_else_says_nothing_and_nothing_is_unbounded() {
        for file in
            ["", "{", "[]", "{\"message\": 3}", "{\"message\": {\"extraInfo\": {}}}", &OF_WORKER[..50]]
        {
            assert_eq!(parse(file.as_bytes()), None, "{file}");
        }
        let long = format!("{{\"message\": \"E: {}\"}}", "ü".repeat(100_000));
        let failure = parse(long.as_bytes()).unwrap();
        assert!(failure.kind == "E" && failure.text.len() <= TEXT_SIZE_BYTES_MAX);
        assert_eq!(read(Path::new("/nowhere")), None);
    }
}
