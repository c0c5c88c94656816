//! Any schedule of cuts and delays: every finished delivery's result arrives, and says the same.

use proptest::prelude::*;

use crate::dialogue::Dialogue;
use crate::pair::ms;
use crate::pipe::{Cut, Towards};

fn cut() -> impl Strategy<Value = Cut> {
    let towards = prop_oneof![Just(Towards::Orchestrator), Just(Towards::Trainer)];
    (towards, 0_u64..3_000).prop_map(|(towards, after_bytes)| Cut { towards, after_bytes })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_runs_twice(
        cuts in prop::collection::vec(cut(), 0..12),
        latency_ms in 0_u64..120,
        task_duration_ms in 0_u64..250,
        read_size_bytes in 1_usize..5_000,
        window in 1_usize..5,
        tasks in 1_usize..8,
    ) {
        let expected = Dialogue::new(tasks, 1).conclude();
        let mut dialogue = Dialogue::new(tasks, window);
        dialogue.pair.latency = ms(latency_ms);
        dialogue.pair.read_size_bytes = read_size_bytes;
        dialogue.task_duration = ms(task_duration_ms);
        prop_assert_eq!(dialogue.cut(cuts).conclude(), expected);
    }
}
