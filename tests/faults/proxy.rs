//! Somebody between trainer and orchestrator who loses one frame, and the connection with it.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::Duration;

use trainwire_unix::Wait;
use trainwire_unix::descriptors::{receive, send};

/// Towards which end a frame flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    Orchestrator,
    Trainer,
}

/// What becomes of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It does not arrive.
    Lost,
    /// It arrives; what is said in answer does not.
    ReplyLost,
    /// It arrives when its sender has long given up the connection.
    Late,
}

/// Which frame, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) towards: Towards,
    /// The fifth byte of a frame.
    pub(crate) kind: u8,
    /// Of this kind that many pass.
    pub(crate) after: u32,
    pub(crate) loss: Loss,
}

/// A thread of the trainer's own process: to the orchestrator they are one. Ends with it.
pub(crate) struct Proxy {
    shared: Arc<Mutex<Shared>>,
    path: PathBuf,
}

#[derive(Debug)]
struct Shared {
    plan: Option<Plan>,
    happened: bool,
    /// Where that is noted.
    note: PathBuf,
    connections: u32,
}

/// A frame, and the descriptor that goes with it.
struct Passing {
    bytes: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

impl Proxy {
    /// `None` if it has happened to an earlier trainer.
    pub(crate) fn start(orchestrator: PathBuf, plan: Plan) -> Option<Self> {
        let note = note(orchestrator.parent()?);
        if note.exists() {
            return None;
        }
        let path = orchestrator.with_file_name(format!("proxy-{}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("a socket");
        let state = Shared { plan: Some(plan), happened: false, note, connections: 0 };
        let shared = Arc::new(Mutex::new(state));
        let told = Arc::clone(&shared);
        spawn(move || accept(&listener, &orchestrator, &told));
        Some(Self { shared, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the frame came.
    pub(crate) fn has_happened(&self) -> bool {
        lock(&self.shared).happened
    }
}

/// As words, for the trainer's environment.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {} {:?}", self.towards, self.kind, self.after, self.loss)
    }
}

impl FromStr for Plan {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let [towards, kind, after, loss] = text.split(' ').collect::<Vec<_>>()[..] else { return Err(()) };
        let towards =
            [Towards::Orchestrator, Towards::Trainer].into_iter().find(|one| format!("{one:?}") == towards);
        let loss =
            [Loss::Lost, Loss::ReplyLost, Loss::Late].into_iter().find(|one| format!("{one:?}") == loss);
        Ok(Self {
            towards: towards.ok_or(())?,
            kind: kind.parse().map_err(drop)?,
            after: after.parse().map_err(drop)?,
            loss: loss.ok_or(())?,
        })
    }
}

fn accept(listener: &UnixListener, orchestrator: &Path, shared: &Arc<Mutex<Shared>>) {
    for trainer in listener.incoming() {
        let Ok(trainer) = trainer else { return };
        // Nobody there: the trainer sees the end, and tries again.
        let Ok(orchestrator) = UnixStream::connect(orchestrator) else { continue };
        lock(shared).connections += 1;
        for (from, to, towards) in
            [(&trainer, &orchestrator, Towards::Orchestrator), (&orchestrator, &trainer, Towards::Trainer)]
        {
            let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
            let shared = Arc::clone(shared);
            spawn(move || pump(from, to, towards, &shared));
        }
    }
}

/// Passes frames on, but for one.
fn pump(from: UnixStream, to: UnixStream, towards: Towards, shared: &Mutex<Shared>) {
    let (mut held, mut block, mut descriptors) = (Vec::new(), [0; 4096], VecDeque::new());
    'open: loop {
        match receive(&from, &mut block, &mut descriptors, Wait::Block) {
            Ok(received) if received.bytes == 0 => break,
            Ok(received) => held.extend_from_slice(&block[..received.bytes]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        }
        while let Some(frame) = take_frame(&mut held, &mut descriptors) {
            let loss = lock(shared).look(towards, frame.bytes[4]);
            match loss {
                None if frame.send(&to).is_err() => break 'open,
                None => {}
                Some(loss) => return lose(loss, &frame, &from, &to, shared),
            }
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn lose(loss: Loss, frame: &Passing, from: &UnixStream, to: &UnixStream, shared: &Mutex<Shared>) {
    let close = |end: &UnixStream| drop(end.shutdown(Shutdown::Both));
    match loss {
        Loss::Lost => {}
        Loss::ReplyLost => {
            // Nothing it is answered with gets through.
            let _ = from.shutdown(Shutdown::Write);
            let _ = frame.send(to);
            sleep(Duration::from_millis(10));
        }
        Loss::Late => {
            let before = lock(shared).connections;
            close(from);
            for _ in 0..100 {
                if lock(shared).connections > before {
                    break;
                }
                sleep(Duration::from_millis(1));
            }
            sleep(Duration::from_millis(5));
            let _ = frame.send(to);
            sleep(Duration::from_millis(5));
        }
    }
    close(from);
    close(to);
}

impl Shared {
    fn look(&mut self, towards: Towards, kind: u8) -> Option<Loss> {
        let plan = self.plan.as_mut()?;
        if plan.towards != towards || plan.kind != kind {
            return None;
        }
        if plan.after > 0 {
            plan.after -= 1;
            return None;
        }
        self.happened = true;
        std::fs::write(&self.note, "").expect("a file");
        self.plan.take().map(|plan| plan.loss)
    }
}

impl Passing {
    fn send(&self, to: &UnixStream) -> io::Result<()> {
        let (mut left, mut descriptor) = (&self.bytes[..], self.descriptor.as_ref());
        while !left.is_empty() {
            let descriptor = descriptor.take().map(AsFd::as_fd);
            left = &left[send(to, &[IoSlice::new(left)], descriptor, Wait::Block)?..];
        }
        Ok(())
    }
}

/// A length of four bytes, then as many. The lowest bit of the sixth byte says that a descriptor goes along.
fn take_frame(held: &mut Vec<u8>, descriptors: &mut VecDeque<OwnedFd>) -> Option<Passing> {
    let length = u32::from_le_bytes(held.get(..4)?.try_into().ok()?);
    let end = usize::try_from(length).ok()? + 4;
    if held.len() < end {
        return None;
    }
    let bytes: Vec<u8> = held.drain(..end).collect();
    let descriptor = if bytes[5] & 1 == 1 { descriptors.pop_front() } else { None };
    Some(Passing { bytes, descriptor })
}

/// Where it is noted that the frame came.
pub(crate) fn note(folder: &Path) -> PathBuf {
    folder.join("lost")
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
