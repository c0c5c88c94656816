//! What runs in the machine: it looks at its disk, and then lives, one life after the other. Whatever must be
//! known after the power was cut it says, and the host keeps it.
//!
//! ```text
//!  up 2f…        of this boot id
//!  checked       every promise of earlier boots is kept
//!  life 7        in a folder of its own; what is told from here on was told in it
//!  told: …
//!  over 7        everything in it has come to its end
//!  gone 7        checked once more after that; its folder is being removed
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use super::full::{self, Filler};
use crate::reader::Promise;
use crate::told::{self, say};
use crate::{journal, life, trainer};

#[test]
#[ignore = "run in the machine"]
fn a_machine() {
    let Some(disk) = folder() else { return };
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
    tell(&format!("up {}", boot_id.trim()));
    let told = disk.parent().expect("the host's folder").join(TOLD);
    let mut lives = Life::parse(&fs::read_to_string(told).expect("what was told"));
    full::make_room(&disk);
    for life in &lives {
        journal::check(&life.state(&disk), &life.promises, life.over);
    }
    tell("checked");
    for life in lives.extract_if(.., |life| life.over) {
        tell(&format!("gone {}", life.number));
        fs::remove_dir_all(life.folder(&disk)).expect("a folder");
    }
    let is_last = std::env::var_os(LAST).is_some();
    let is_full = std::env::var_os(FULL).is_some();
    let mut number = lives.pop().map_or(u64::from(!is_last), |life| life.number);
    while number > 0 {
        let life = Life { number, ..Life::default() };
        tell(&format!("life {number}"));
        let filler = is_full.then(|| Filler::start(&disk, number));
        while !life.live(&disk) {}
        drop(filler);
        journal::check(&life.state(&disk), &[], true);
        tell(&format!("over {number}"));
        number = if is_last { 0 } else { number + 1 };
    }
    tell("well");
}

/// That of the machine's disk, in the machine; whatever breaks in there from here on is said. `None` outside.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os(MACHINE).map(PathBuf::from)?;
    std::panic::set_hook(Box::new(|broken| {
        let _ = say(&format!("broken: {}", broken.to_string().replace('\n', " ")));
    }));
    Some(folder.join("disk"))
}

pub(crate) fn tell(line: &str) {
    say(line).expect("the host reads");
}

/// One life as the host heard of it.
#[derive(Debug, Default)]
struct Life {
    number: u64,
    promises: Vec<Promise>,
    over: bool,
}

impl Life {
    /// Those that are not gone.
    fn parse(told: &str) -> Vec<Self> {
        let mut lives: Vec<Self> = Vec::new();
        for line in told.lines() {
            if let Some(promise) = told::promise(line) {
                lives.last_mut().expect("a life").promises.push(promise);
                continue;
            }
            let Some((word, number)) = line.split_once(' ') else { continue };
            let Ok(number) = number.parse() else { continue };
            match (word, lives.iter_mut().find(|life| life.number == number)) {
                ("life", None) => lives.push(Self { number, ..Self::default() }),
                ("over", Some(life)) => life.over = true,
                ("gone", Some(_)) => lives.retain(|life| life.number != number),
                _ => {}
            }
        }
        lives
    }

    fn folder(&self, disk: &Path) -> PathBuf {
        disk.join(self.number.to_string())
    }

    fn state(&self, disk: &Path) -> PathBuf {
        self.folder(disk).join("state")
    }

    /// To the end of everything; `false` where there was no room for a start.
    fn live(&self, disk: &Path) -> bool {
        let is_full = std::env::var_os(FULL).is_some();
        let folder = self.folder(disk);
        if let Err(error) = fs::create_dir_all(&folder) {
            assert!(is_full, "{error}");
            return false;
        }
        let socket = folder.join(format!("ai-task-sock-{}", life::ATTACHED));
        let mut living = life::command(&folder).stdin(Stdio::null()).spawn().expect("a process");
        let start_trainer = || trainer::command(&socket, life::ATTACHED).spawn().expect("a process");
        let mut training = start_trainer();
        let ended = loop {
            if let Some(status) = living.try_wait().expect("a process") {
                break status;
            }
            if training.try_wait().expect("a process").is_some() {
                training = start_trainer();
            }
            sleep(Duration::from_millis(2));
        };
        let _ = training.kill();
        let _ = training.wait();
        let no_room = is_full && ended.code() == Some(life::NOT_STARTED);
        assert!(ended.success() || no_room, "life {}: {ended}", self.number);
        ended.success()
    }
}

/// Of a machine's environment: the host's folder, with the disk and a file of what was told; and whether it only
/// brings to its end what there is; and whether the disk is full now and then.
pub(super) const MACHINE: &str = "TRAINWIRE_TEST_MACHINE";
pub(super) const LAST: &str = "TRAINWIRE_TEST_LAST";
pub(super) const FULL: &str = "TRAINWIRE_TEST_FULL";

/// What the first process runs.
pub(super) const RUN: &str = "power::guest::a_machine";

/// In the host's folder.
pub(super) const TOLD: &str = "told";
