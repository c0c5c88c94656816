//! What `import trainwire` adds to the start of Python.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::report::Import;
use crate::stats::median;

const ROUNDS: usize = 30;

pub fn measure(python: &Path) -> Import {
    let (mut bare, mut with) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        bare.push(time_of(python, "pass"));
        with.push(time_of(python, "import trainwire"));
    }
    Import { bare_ms: median(bare), import_ms: median(with) }
}

fn time_of(python: &Path, program: &str) -> f64 {
    let begin = Instant::now();
    let status = Command::new(python).args(["-c", program]).status().expect("python starts");
    assert!(status.success(), "{program} failed");
    begin.elapsed().as_secs_f64() * 1e3
}
