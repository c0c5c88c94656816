//! The power of the whole machine, cut at any moment, again and again: what was fsynced is left, nothing else. That
//! is more than the death of a process, after which everything is there that was written.
//!
//! What the machine promised is kept outside it. After each cut it starts again from the same disk and is checked by the
//! independent reader before the orchestrator sees it; then the next life goes on in the same folders. The moment
//! is counted in lines the machine has said, and microseconds after, so a seed (`TRAINWIRE_SEED`) says it, as far as
//! a real machine can repeat itself. `TRAINWIRE_CUTS` says how many.

mod full;
pub(crate) mod guest;
pub(crate) mod machine;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::Extent;
use crate::random::Random;
use machine::{Data, Machine};

#[test]
fn after_a_power_cut_every_promise_is_kept() {
    cut(Data::Ordered);
}

#[test]
fn after_a_power_cut_every_promise_is_kept_also_where_sizes_come_before_bytes() {
    cut(Data::Writeback);
}

#[expect(clippy::print_stderr, reason = "who wants to see it again needs seed and moments")]
fn cut(data: Data) {
    let Some(mut machine) = Machine::find(data) else { return };
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seed = number("TRAINWIRE_SEED").or_else(|| number("TRAINWIRE_FIRST_SEED")).unwrap_or(0);
    let cuts = number("TRAINWIRE_CUTS").unwrap_or(if Extent::asked() == Extent::Full { 10 } else { 2 });
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut random = Random::new(seed);
        for place in 0..cuts {
            let moment = Moment::pick(&mut random);
            eprintln!("{data:?}, seed {seed}, cut {place} of {cuts}: {moment:?}");
            let full = format!("{}=1", guest::FULL);
            let settings: &[&str] = if moment.full { &[&full] } else { &[] };
            let mut boot = machine.boot(guest::RUN, settings);
            (0..moment.lines).for_each(|_| drop(boot.line()));
            std::thread::sleep(moment.later);
            boot.cut();
        }
        // What is left comes to its end, and stays there.
        for _ in 0..2 {
            let mut boot = machine.boot(guest::RUN, &[&format!("{}=1", guest::LAST)]);
            while boot.line() != "well" {}
            boot.cut();
        }
    }));
    if let Err(broken) = ran {
        eprintln!("{data:?}, seed {seed}: the machine is in {}", machine.keep().display());
        std::panic::resume_unwind(broken);
    }
    let told = machine.told();
    let count = |word: &str| told.lines().filter(|line| line.starts_with(word)).count();
    let [boots, lives, promises] = ["up ", "over ", "told: "].map(count);
    eprintln!("{data:?}, seed {seed}: {boots} boots, {lives} lives to their end, {promises} promises");
    let boot_ids: BTreeSet<_> = told.lines().filter_map(|line| line.strip_prefix("up ")).collect();
    assert_eq!(boot_ids.len(), boots, "the kernel says that one boot is another");
    assert!(lives > 0 && promises > 0, "nothing happens in the machine");
}

/// When it is cut.
#[derive(Debug)]
struct Moment {
    /// After so many lines of this boot.
    lines: u64,
    later: Duration,
    /// The disk is full now and then until then.
    full: bool,
}

impl Moment {
    fn pick(random: &mut Random) -> Self {
        // Now and then while it gets up. A life says some twenty lines; on a full disk it waits for room.
        let full = random.chance(20);
        let most = if full { 20 } else { 50 };
        let lines = if random.chance(20) { random.between(0, 3) } else { random.between(4, most) };
        Self { lines, later: Duration::from_micros(random.below(30_000)), full }
    }
}
