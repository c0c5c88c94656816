//! How long single operations take: `make micro`.

use trainwire_micro::{OPERATIONS, Operation};

fn main() {
    divan::main();
}

#[divan::bench(args = OPERATIONS)]
fn operation(bencher: divan::Bencher<'_, '_>, operation: &Operation) {
    bencher.with_inputs(|| ()).bench_local_values({
        let mut run = operation.prepare();
        move |()| run()
    });
}
