//! Any inputs in any order: nothing panics, nothing is lost, nothing happens twice.

mod run;

use proptest::prelude::*;

use super::*;
use run::Run;

/// One step of a run. Numbers are taken modulo what there is, or a little beyond.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// What a decent driver and decent trainers do next: a spawn, a Hello, a Drained.
    Answer,
    Spawned(u64),
    Hello {
        trainer: u64,
        connection: u32,
        in_hand: u64,
        own: bool,
    },
    /// A Hello of one of several, perhaps started anew.
    Rank {
        trainer: u64,
        rank: u32,
        restart: u32,
        connection: u32,
        in_hand: u64,
    },
    Started(u64, u64),
    Result {
        connection: u64,
        delivery: u64,
        outcome: u8,
    },
    Checkpoint(u64, u64, u64),
    Heartbeat(u64, u64),
    Progress(u64, u64),
    Bye(u64),
    Quiet(u64),
    Heard(u64),
    Disconnected(u64),
    Drained(u64),
    Exited {
        trainer: u64,
        exit: u8,
    },
    Stop {
        task: u64,
        reason: bool,
        kill: bool,
    },
    Mismatch,
    BindFailed,
    Pass(u64),
    Submit(u8),
    Add {
        from: u8,
        count: u8,
        other: bool,
    },
    Close,
    /// Each bit stands for a task.
    Requeue {
        tasks: u64,
    },
    /// The oldest trainer of which nothing was heard since its end.
    Gone,
    Forget,
    /// Each bit stands for a task whose bytes are lost.
    Restart {
        lost: u64,
    },
    Spooled {
        delivery: u64,
        outcome: bool,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let small = 0..8_u64;
    let op = prop_oneof![
        12 => Just(Op::Answer),
        1 => small.clone().prop_map(Op::Spawned),
        2 => (small.clone(), 1..4_u32, 0..32_u64, any::<bool>()).prop_map(
            |(trainer, connection, in_hand, own)| Op::Hello { trainer, connection, in_hand, own }
        ),
        4 => (small.clone(), 0..3_u32, 0..3_u32, 1..4_u32, 0..32_u64).prop_map(
            |(trainer, rank, restart, connection, in_hand)| Op::Rank { trainer, rank, restart, connection, in_hand }
        ),
        6 => (small.clone(), 0..32_u64).prop_map(|(c, d)| Op::Started(c, d)),
        6 => (small.clone(), 0..32_u64, 0..8_u8).prop_map(|(connection, delivery, outcome)| Op::Result {
            connection,
            delivery,
            outcome
        }),
        1 => (small.clone(), 0..32_u64, 0..3_u64).prop_map(|(c, d, s)| Op::Checkpoint(c, d, s)),
        1 => (small.clone(), 0..32_u64).prop_map(|(c, d)| Op::Heartbeat(c, d)),
        1 => (small.clone(), 0..32_u64).prop_map(|(c, d)| Op::Progress(c, d)),
        1 => small.clone().prop_map(Op::Bye),
        2 => small.clone().prop_map(Op::Quiet),
        1 => small.clone().prop_map(Op::Heard),
        2 => small.clone().prop_map(Op::Disconnected),
        3 => small.clone().prop_map(Op::Drained),
        3 => (small.clone(), 0..5_u8).prop_map(|(trainer, exit)| Op::Exited { trainer, exit }),
        1 => (0..6_u64, any::<bool>(), any::<bool>())
            .prop_map(|(task, reason, kill)| Op::Stop { task, reason, kill }),
        1 => Just(Op::Mismatch),
        1 => Just(Op::BindFailed),
        3 => (0..90_000_u64).prop_map(Op::Pass),
        1 => (0..3_u8).prop_map(Op::Submit),
        3 => (0..12_u8, 0..3_u8, prop::bool::weighted(0.1))
            .prop_map(|(from, count, other)| Op::Add { from, count, other }),
        1 => Just(Op::Close),
        1 => Just(Op::Forget),
        2 => any::<u64>().prop_map(|tasks| Op::Requeue { tasks }),
        4 => Just(Op::Gone),
        2 => prop_oneof![4 => Just(0), 1 => any::<u64>()].prop_map(|lost| Op::Restart { lost }),
        1 => (0..32_u64, any::<bool>()).prop_map(|(delivery, outcome)| Op::Spooled { delivery, outcome }),
    ];
    prop::collection::vec(op, 0..120)
}

fn specs() -> impl Strategy<Value = JobSpec> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (1..4_u32, 1..5_u32, 1..4_u32, 1..4_u32, 0..3_u32, flags).prop_map(
        |(trainers, window, max_failures, max_losses, gpus, (script, attach, replace, stall))| {
            spec(|spec| {
                (spec.trainers, spec.window, spec.script, spec.attach) = (trainers, window, script, attach);
                spec.gpus = gpus;
                (spec.max_failures, spec.max_losses) = (max_failures, max_losses);
                spec.replace_after_failure = replace;
                spec.stall_timeout = stall.then(|| seconds(20));
            })
        },
    )
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_happens_twice(
        spec in specs(),
        tasks in 1..6_u8,
        open in any::<bool>(),
        ops in ops(),
        exit in 0..4_u8,
        succeed in any::<bool>(),
    ) {
        let mut run = Run::new();
        run.submit(JobSpec { open, ..spec }, tasks);
        for op in ops {
            run.perform(op);
        }
        run.end_fairly(exit, succeed);
        let state = run.scheduler.state();
        for (number, task) in state.tasks.iter() {
            prop_assert!(task.state.is_terminal(), "{task:?}");
            prop_assert_eq!(run.closed.get(&TaskNo(number)), Some(&1));
        }
        for (_, job) in state.jobs.iter() {
            prop_assert!(job.ended && job.trainers.is_empty(), "{job:?}");
        }
        // A Scheduler without jobs holds nothing and waits for nothing.
        prop_assert!(run.scheduler.jobs.is_empty() && run.scheduler.trainers.is_empty());
        prop_assert!(run.scheduler.replicas.is_empty() && run.scheduler.deadlines.next().is_none());
        prop_assert!(run.scheduler.connections.is_empty() && run.scheduler.payloads.is_empty());
        prop_assert!(state.slots.is_empty() && run.held.is_empty(), "slots are lost");
        prop_assert!(run.scheduler.lost.is_empty());
    }
}
