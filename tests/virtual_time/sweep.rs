//! A whole dialogue, its connection lost after every single byte.

use crate::dialogue::Dialogue;
use crate::pipe::{Cut, Towards};

fn sweep(towards: Towards, window: usize) {
    let mut whole = Dialogue::new(4, window);
    let expected = whole.conclude();
    assert_eq!(whole.started, [0, 1, 2, 3]);
    assert!((0..4).all(|task| whole.rows(task) == 3));
    let bytes = whole.arrived_bytes(towards);
    assert!(bytes > 500, "a whole dialogue has more than {bytes} bytes");
    for after_bytes in 0..=bytes {
        let mut dialogue = Dialogue::new(4, window).cut([Cut { towards, after_bytes }]);
        assert_eq!(dialogue.conclude(), expected, "cut after {after_bytes} bytes towards {towards:?}");
    }
}

#[test]
fn cut_at_every_byte_towards_the_orchestrator() {
    sweep(Towards::Orchestrator, 1);
}

#[test]
fn cut_at_every_byte_towards_the_trainer() {
    sweep(Towards::Trainer, 1);
}

#[test]
fn cut_at_every_byte_with_a_window_of_three() {
    sweep(Towards::Orchestrator, 3);
    sweep(Towards::Trainer, 3);
}

#[test]
fn read_one_byte_at_a_time() {
    let expected = Dialogue::new(4, 2).conclude();
    let mut dialogue = Dialogue::new(4, 2);
    dialogue.pair.read_size_bytes = 1;
    assert_eq!(dialogue.conclude(), expected);
}
