//! Counts the instructions of each operation under valgrind, and compares them with those that were accepted.
//! Counts do not depend on what else the machine does, so CI can tell a few percent.
//!
//! ```console
//! $ make instructions          # fails where one has grown by more than 3 %
//! $ make instructions-accept   # writes them down
//! ```
//!
//! Another compiler gives other counts. Accepted ones are kept by compiler and target; where there are none,
//! the comparison is left out, and says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use trainwire_micro::{OPERATIONS, Operation, Run};

const USAGE: &str = "usage: instructions compare | accept";

/// Instructions an operation.
type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["compare"] => compare(&count_all()),
        ["accept"] => accept(count_all()),
        ["run", name] => run(name),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The other end of [`count`].
fn run(name: &str) -> ExitCode {
    let operation = OPERATIONS.iter().find(|operation| operation.name == name).expect("one of ours");
    let mut run = operation.prepare();
    // Buffers grow and tables are filled before.
    (0..WARM_UP).for_each(|_| run());
    counted(&mut run);
    ExitCode::SUCCESS
}

/// Valgrind counts while it is in here.
#[inline(never)]
fn counted(run: &mut Run) {
    (0..REPEATED).for_each(|_| run());
}

fn count_all() -> Counts {
    OPERATIONS.iter().map(|operation| (operation.name.to_owned(), count(operation))).collect()
}

fn count(operation: &Operation) -> u64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("counts");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=instructions::counted"])
        .arg(format!("--callgrind-out-file={}", path.display()))
        .arg(std::env::current_exe().expect("this program"))
        .args(["run", operation.name])
        .stdin(Stdio::null())
        .output()
        .expect("valgrind runs; install it: apt-get install valgrind");
    assert!(output.status.success(), "{operation}:\n{}", String::from_utf8_lossy(&output.stderr));
    let counts = fs::read_to_string(&path).expect("what valgrind wrote");
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
    let total = total.filter(|total| *total > 0).expect("it was in `counted`");
    total / REPEATED
}

fn compare(counts: &Counts) -> ExitCode {
    let (accepted, key) = (accepted(), compiler());
    let Some(accepted) = accepted.get(&key) else {
        print_all(counts, &Counts::new());
        println!(
            "\nNOT COMPARED: there are no accepted counts for {key}; `make instructions-accept` writes them"
        );
        return ExitCode::SUCCESS;
    };
    print_all(counts, accepted);
    let grown: Vec<&str> = counts
        .iter()
        .filter(|(name, count)| accepted.get(*name).is_some_and(|before| grown(*before, **count)))
        .map(|(name, _)| name.as_str())
        .collect();
    let unknown: Vec<&str> = names_of(counts).filter(|name| !accepted.contains_key(*name)).collect();
    let gone: Vec<&str> = names_of(accepted).filter(|name| !counts.contains_key(*name)).collect();
    let complaints = [
        (grown, "takes over 3 % more instructions than accepted"),
        (unknown, "has no accepted count"),
        (gone, "has an accepted count, and is gone"),
    ];
    let mut failed = false;
    for (name, complaint) in
        complaints.iter().flat_map(|(names, words)| names.iter().map(move |name| (name, words)))
    {
        eprintln!("{name}: {complaint}");
        failed = true;
    }
    if failed {
        eprintln!("if that is meant: `make instructions-accept`, and say why in the commit");
    }
    ExitCode::from(u8::from(failed))
}

fn names_of(counts: &Counts) -> impl Iterator<Item = &str> {
    counts.keys().map(String::as_str)
}

fn grown(before: u64, count: u64) -> bool {
    count * 100 > before * (100 + TOLERATED_PERCENT)
}

fn print_all(counts: &Counts, accepted: &Counts) {
    println!("{:<46} {:>12} {:>12}", "instructions", "counted", "accepted");
    for Operation { name, .. } in OPERATIONS {
        let (count, before) = (counts[*name], accepted.get(*name));
        let change = before.map(|before| 100.0 * (count as f64 / *before as f64 - 1.0));
        let before = before.map_or_else(|| "–".to_owned(), u64::to_string);
        let change = change.map_or_else(String::new, |change| format!("{change:>+7.1} %"));
        println!("{name:<46} {count:>12} {before:>12} {change}");
    }
}

fn accept(counts: Counts) -> ExitCode {
    print_all(&counts, accepted().get(&compiler()).unwrap_or(&Counts::new()));
    // Of one compiler at a time: nobody would keep the others up to date.
    let accepted = BTreeMap::from([(compiler(), counts)]);
    let mut text = serde_json::to_string_pretty(&accepted).expect("names and numbers");
    text.push('\n');
    fs::write(ACCEPTED, text).expect("the file of counts");
    ExitCode::SUCCESS
}

fn accepted() -> BTreeMap<String, Counts> {
    match fs::read_to_string(Path::new(ACCEPTED)) {
        Ok(text) => serde_json::from_str(&text).expect("what `accept` wrote"),
        Err(_) => BTreeMap::new(),
    }
}

/// Of which the counts are: the same program calls other code where the C library is another one.
fn compiler() -> String {
    let version = said(Command::new("rustc").arg("-vV"));
    let field =
        |name: &str| version.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").to_owned();
    let library = said(Command::new("getconf").arg("GNU_LIBC_VERSION"));
    format!("rustc {}, {}, {}", field("release: "), field("host: "), library.trim())
}

fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).into_owned()
}

const ACCEPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json");

const TOLERATED_PERCENT: u64 = 3;

const WARM_UP: u64 = 64;
const REPEATED: u64 = 64;
