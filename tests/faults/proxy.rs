//! Somebody between trainer and orchestrator who loses one frame, and the connection with it.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::Duration;

use crate::trainer::tell;

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
    connections: u32,
}

impl Proxy {
    pub(crate) fn start(orchestrator: PathBuf, plan: Plan) -> Self {
        let path = orchestrator.with_file_name(format!("proxy-{}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("a socket");
        let state = Shared { plan: Some(plan), happened: false, connections: 0 };
        let shared = Arc::new(Mutex::new(state));
        let told = Arc::clone(&shared);
        spawn(move || accept(&listener, &orchestrator, &told));
        Self { shared, path }
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
fn pump(mut from: UnixStream, mut to: UnixStream, towards: Towards, shared: &Mutex<Shared>) {
    let (mut held, mut block) = (Vec::new(), [0; 4096]);
    loop {
        match from.read(&mut block) {
            Ok(0) => break,
            Ok(read) => held.extend_from_slice(&block[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        }
        while let Some(frame) = take_frame(&mut held) {
            let loss = lock(shared).look(towards, frame[4]);
            match loss {
                None => {
                    if to.write_all(&frame).is_err() {
                        break;
                    }
                }
                Some(loss) => return lose(loss, &frame, &from, &to, shared),
            }
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn lose(loss: Loss, frame: &[u8], from: &UnixStream, mut to: &UnixStream, shared: &Mutex<Shared>) {
    let close = |end: &UnixStream| drop(end.shutdown(Shutdown::Both));
    match loss {
        Loss::Lost => {}
        Loss::ReplyLost => {
            // Nothing it is answered with gets through.
            let _ = from.shutdown(Shutdown::Write);
            let _ = to.write_all(frame);
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
            let _ = to.write_all(frame);
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
        tell("lost");
        self.plan.take().map(|plan| plan.loss)
    }
}

/// A length of four bytes, then as many.
fn take_frame(held: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u32::from_le_bytes(held.get(..4)?.try_into().ok()?);
    let end = usize::try_from(length).ok()? + 4;
    (held.len() >= end).then(|| held.drain(..end).collect())
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
