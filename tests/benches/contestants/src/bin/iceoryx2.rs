//! iceoryx2: publish and subscribe in shared memory, with events to wait on. What is produced in place is
//! written into the loan.

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use trainwire_bench_harness::{
    Answer, Contestant, EPOCHS, Receiver, STREAM_WINDOW, Setup, Task, Transfer, now_ns, pin, serve,
};

#[derive(Clone, Copy, Debug, Default, ZeroCopySend)]
#[type_name("TaskHeader")]
#[repr(C)]
struct TaskHeader {
    task_id: [u8; 32],
    model_name: [u8; 32],
    max_epochs: i32,
}

#[derive(Clone, Copy, Debug, ZeroCopySend)]
#[type_name("Answer")]
#[repr(C)]
struct PlainAnswer {
    read_ns: u64,
    touched_ns: u64,
    check: u64,
}

struct Iceoryx2 {
    tasks: Publisher<ipc::Service, [u8], TaskHeader>,
    task_sent: Notifier<ipc::Service>,
    answers: Subscriber<ipc::Service, PlainAnswer, ()>,
    answer_sent: Listener<ipc::Service>,
    receiver: Receiver,
    _node: Node<ipc::Service>,
}

fn main() {
    set_log_level(LogLevel::Error);
    let setup = Setup::from_arguments(std::env::args().skip(1));
    let name = format!("trainwire-bench-{}", std::process::id());
    let node = NodeBuilder::new().create::<ipc::Service>().expect("shared memory");
    let service =
        |part: &str| node.service_builder(&format!("{name}/{part}").as_str().try_into().expect("short"));
    let tasks = service("tasks")
        .publish_subscribe::<[u8]>()
        .user_header::<TaskHeader>()
        .subscriber_max_buffer_size(STREAM_WINDOW)
        .enable_safe_overflow(false)
        .create()
        .expect("a fresh name");
    let answers = service("answers")
        .publish_subscribe::<PlainAnswer>()
        .subscriber_max_buffer_size(STREAM_WINDOW)
        .enable_safe_overflow(false)
        .create()
        .expect("a fresh name");
    let task_sent = service("task-sent").event().create().expect("a fresh name");
    let answer_sent = service("answer-sent").event().create().expect("a fresh name");
    let contestant = Iceoryx2 {
        tasks: tasks
            .publisher_builder()
            .initial_max_slice_len(4096)
            .allocation_strategy(AllocationStrategy::PowerOfTwo)
            .create()
            .expect("the first one"),
        task_sent: task_sent.notifier_builder().create().expect("the first one"),
        answers: answers.subscriber_builder().create().expect("the first one"),
        answer_sent: answer_sent.listener_builder().create().expect("the first one"),
        receiver: Receiver::start(&setup, "iceoryx2_receiver.py", [&name]),
        _node: node,
    };
    pin(0);
    serve(contestant);
}

impl Iceoryx2 {
    /// Sends what `write` leaves in the loan, and gives when that was written.
    fn send(&self, task: &Task, write: impl FnOnce(&mut [u8])) -> u64 {
        let mut loan = self.tasks.loan_slice_uninit(task.size_bytes).expect("the receiver keeps up");
        let header = loan.user_header_mut();
        *header = TaskHeader { max_epochs: EPOCHS, ..TaskHeader::default() };
        header.task_id[..task.task_id().len()].copy_from_slice(task.task_id().as_bytes());
        header.model_name[..task.model_name().len()].copy_from_slice(task.model_name().as_bytes());
        let place = loan.payload_mut();
        // SAFETY: of bytes any value will do, and `write` only writes.
        write(unsafe { std::slice::from_raw_parts_mut(place.as_mut_ptr().cast(), place.len()) });
        let written_ns = now_ns();
        // SAFETY: all of it was written.
        unsafe { loan.assume_init() }.send().expect("the receiver is there");
        self.task_sent.notify().expect("the receiver is there");
        written_ns
    }

    fn answer(&self) -> Answer {
        loop {
            if let Some(sample) = self.answers.receive().expect("the receiver is there") {
                let PlainAnswer { read_ns, touched_ns, check } = *sample;
                return Answer { read_ns, touched_ns, check };
            }
            self.answer_sent.blocking_wait(|_| {}).expect("no signal interrupts");
        }
    }
}

impl Contestant for Iceoryx2 {
    fn transfer(&mut self, task: Task, in_place: bool) -> Transfer {
        let asked_ns = now_ns();
        let produced_ns = if in_place {
            self.send(&task, |loan| task.fill(loan))
        } else {
            let hyperparams = task.produce();
            let produced_ns = now_ns();
            self.send(&task, |loan| loan.copy_from_slice(&hyperparams));
            produced_ns
        };
        let answer = self.answer();
        Transfer { asked_ns, produced_ns, answer, answered_ns: now_ns() }
    }

    fn stream(&mut self, tasks: &[Task]) {
        let mut unanswered = tasks.iter();
        for (sent, task) in tasks.iter().enumerate() {
            if sent >= STREAM_WINDOW {
                unanswered.next().expect("fewer than were sent").verify(&self.answer());
            }
            self.send(task, |loan| task.fill(loan));
        }
        for task in unanswered {
            task.verify(&self.answer());
        }
    }

    fn receiver_pid(&self) -> u32 {
        self.receiver.pid()
    }
}
