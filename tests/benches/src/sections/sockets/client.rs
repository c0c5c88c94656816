//! The other ends of all sockets, on one thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use trainwire_bench_harness::EPOCHS;
use trainwire_protocol::session::Delivered;
use trainwire_protocol::task::VerifiedTask;

use super::{HEARTBEAT, job_id, socket_name, task};
use crate::trainers::{Tools, Trainer, connect};

pub(super) struct Clients {
    clients: Vec<Client>,
    tools: Tools,
}

enum Client {
    Bare { stream: UnixStream, due: Instant },
    Trainer(Box<Trainer>),
}

impl Clients {
    /// Connects them all; done when each has its first task.
    pub(super) fn connect(bare: bool, folder: &Path, count: usize) -> Self {
        let mut all = Self { clients: Vec::with_capacity(count), tools: Tools::default() };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("a descriptor");
        let mut with_task = 0;
        for number in 0..count {
            let client = Client::connect(bare, folder, number, &mut all.tools);
            let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
            match &client {
                Client::Bare { stream, .. } => epoll.add(stream, event),
                Client::Trainer(trainer) => epoll.add(&**trainer, event),
            }
            .expect("room for a watch");
            all.clients.push(client);
            if number % TURN == TURN - 1 {
                with_task += all.take(&epoll, EpollTimeout::ZERO);
            }
        }
        while with_task < count {
            let more = all.take(&epoll, EpollTimeout::from(10_000u16));
            assert!(more > 0, "{} of {count} trainers have a task", with_task);
            with_task += more;
        }
        all
    }

    /// How many have got their task now. Each is checked.
    fn take(&mut self, epoll: &Epoll, timeout: EpollTimeout) -> usize {
        let mut events = [EpollEvent::empty(); 4 * TURN];
        let count = epoll.wait(&mut events, timeout).expect("no signal interrupts");
        let now = Instant::now();
        let mut with_task = 0;
        for event in &events[..count] {
            let number = usize::try_from(event.data()).expect("a number of ours");
            with_task += usize::from(self.clients[number].take(now, number, &mut self.tools));
        }
        // A trainer may have been welcomed ahead of its task.
        if count > 0 && with_task == 0 { self.take(epoll, timeout) } else { with_task }
    }

    /// Everybody beats when it is due; gives how many heartbeats that were. The first ones are spread over
    /// an interval, as those of processes would be.
    pub(super) fn beat(&mut self, time: Duration) -> usize {
        let (begin, count) = (Instant::now(), self.clients.len());
        let spread = |number: usize| HEARTBEAT.mul_f64(number as f64 / count as f64);
        let firsts = self
            .clients
            .iter()
            .enumerate()
            .map(|(number, client)| Reverse((client.due().max(begin + spread(number)), number)));
        let mut dues: BinaryHeap<_> = firsts.collect();
        let mut heartbeats = 0;
        while let Some(Reverse((due, number))) = dues.pop() {
            if due >= begin + time {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.clients[number].beat(Instant::now(), &mut self.tools);
            dues.push(Reverse((self.clients[number].due(), number)));
            heartbeats += 1;
        }
        heartbeats
    }
}

impl Client {
    fn connect(bare: bool, folder: &Path, number: usize, tools: &mut Tools) -> Self {
        let socket = folder.join(socket_name(number));
        if !bare {
            return Self::Trainer(Box::new(Trainer::connect(&socket, &job_id(number), number, tools)));
        }
        let mut stream = connect(&socket);
        stream.write_all(&HELLO).expect("room for a hello");
        Self::Bare { stream, due: Instant::now() + HEARTBEAT }
    }

    /// Whether its task has come, which is acknowledged.
    fn take(&mut self, now: Instant, number: usize, tools: &mut Tools) -> bool {
        match self {
            Self::Bare { stream, .. } => {
                let mut bytes = [0; 512];
                let count = stream.read(&mut bytes).expect("a task");
                assert_eq!(bytes[..count], task(number).produce(), "task {number}");
                stream.write_all(&ACKNOWLEDGEMENT).expect("room for it");
                true
            }
            Self::Trainer(trainer) => {
                let delivered = trainer.turn(now, tools);
                delivered.inspect(|delivered| verify(number, delivered)).is_some()
            }
        }
    }

    fn beat(&mut self, now: Instant, tools: &mut Tools) {
        match self {
            Self::Bare { stream, due } => {
                stream.write_all(&HEARTBEAT_BYTES).expect("room for a heartbeat");
                *due += HEARTBEAT;
            }
            Self::Trainer(trainer) => assert!(trainer.turn(now, tools).is_none(), "one task each"),
        }
    }

    fn due(&self) -> Instant {
        match self {
            Self::Bare { due, .. } => *due,
            Self::Trainer(trainer) => trainer.due().expect("it always beats once more"),
        }
    }
}

fn verify(number: usize, delivered: &Delivered) {
    let bytes = delivered.inline.clone().expect("a small task");
    let (arrived, sent) = (VerifiedTask::verify(bytes).expect("a task"), task(number));
    assert_eq!(arrived.task_id(), sent.task_id());
    assert_eq!((arrived.model_name(), arrived.max_epochs()), (sent.model_name(), EPOCHS));
    assert_eq!(arrived.hyperparams(), sent.produce());
}

/// Connected before what has come is looked at.
const TURN: usize = 64;

// Of the floor, about as long as the protocol's.
const HELLO: [u8; 160] = [1; 160];
const ACKNOWLEDGEMENT: [u8; 48] = [2; 48];
const HEARTBEAT_BYTES: [u8; 56] = [3; 56];
