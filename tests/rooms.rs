//! Who may know whom: the crates reach only what their room allows, by `cargo tree`.

use std::process::Command;

/// Names of all crates `package` is built with, tests aside.
fn reaches(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "-p",
            package,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("crate names");
    names.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[track_caller]
fn never_reaches(package: &str, forbidden: &[&str]) {
    let reached = reaches(package);
    assert!(reached.iter().any(|name| name == package), "{package} is not in its own tree");
    for name in forbidden {
        assert!(!reached.iter().any(|reached| reached == name), "{package} must not know {name}");
    }
}

#[test]
fn the_protocol_knows_neither_kernel_nor_runtime() {
    never_reaches(
        "trainwire-protocol",
        &["nix", "libc", "memmap2", "tokio", "pyo3", "rusqlite", "trainwire-unix", "trainwire"],
    );
}

#[test]
fn the_kernel_layer_knows_neither_protocol_nor_runtime() {
    never_reaches("trainwire-unix", &["trainwire-protocol", "tokio", "pyo3", "rusqlite", "trainwire"]);
}

#[test]
fn the_library_knows_neither_python_nor_the_command_line() {
    never_reaches("trainwire", &["pyo3", "clap", "indicatif", "trainwire-cli", "trainwire-python"]);
}

#[test]
fn the_extension_knows_neither_tokio_nor_the_orchestrator() {
    never_reaches("trainwire-python", &["tokio", "rusqlite", "clap", "trainwire", "trainwire-cli"]);
}

#[test]
fn the_command_line_uses_the_library_alone() {
    let manifest = include_str!("../orchestrator/cli/Cargo.toml");
    let dependencies =
        manifest.split("[dependencies]").nth(1).expect("a section").split("\n[").next().unwrap_or("");
    assert!(dependencies.contains("trainwire.workspace"));
    // The kernel layer is both ends' of every socket, so also the control socket's.
    for inner in ["trainwire-protocol", "rusqlite"] {
        assert!(!dependencies.contains(inner), "the command line must not know {inner}");
    }
}
