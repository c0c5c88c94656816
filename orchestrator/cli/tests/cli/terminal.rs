//! The live view, on a pseudo-terminal of 80 × 24.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use nix::pty::{Winsize, openpty};

use crate::sandbox::Sandbox;

/// Everything that came to the terminal, and the exit code.
fn on_terminal(sandbox: &Sandbox, args: &[&str], environment: &[(&str, &str)]) -> (String, Option<i32>) {
    let window = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&window), None).unwrap();
    let stdio = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let mut command = sandbox.command(args);
    command.env("TERM", "xterm-256color").envs(environment.iter().copied());
    command.stdin(stdio(&pty.slave)).stdout(stdio(&pty.slave)).stderr(stdio(&pty.slave));
    let mut child = command.spawn().unwrap();
    // The last writer's end makes the reader's: none may be left here.
    drop(command);
    drop(pty.slave);
    let mut bytes = Vec::new();
    let mut master = File::from(pty.master);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..count]);
    }
    (String::from_utf8(bytes).unwrap(), child.wait().unwrap().code())
}

/// What a terminal shows in the end, as far as this program uses one.
fn rendered(output: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut row = 0;
    let mut rest = output;
    while let Some(character) = rest.chars().next() {
        if let Some(parameters) = rest.strip_prefix("\u{1b}[") {
            let end = parameters.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            match (&parameters[..end], &parameters[end..=end]) {
                (count, "A") => row -= count.parse::<usize>().unwrap(),
                ("", "J") => lines.truncate(row),
                (_, "m" | "h" | "l") => {}
                other => panic!("not used so far: {other:?}"),
            }
            lines.resize(lines.len().max(row + 1), String::new());
            rest = &parameters[end + 1..];
            continue;
        }
        match character {
            '\r' => {}
            '\n' => {
                row += 1;
                lines.resize(lines.len().max(row + 1), String::new());
            }
            c => lines[row].push(c),
        }
        rest = &rest[character.len_utf8()..];
    }
    lines
}

#[test]
fn the_live_view_comes_and_goes() {
    let sandbox = Sandbox::new();
    let script = "sleep 0.4; test $TRAINWIRE_TASK_ID != n=2";
    let (output, code) =
        on_terminal(&sandbox, &["--job-id=live", "--grid=n=1,2", "--", "sh", "-c", script], &[]);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("0 of 2 done · 1 running · 1 waiting"), "{output}");
    assert_eq!(output.matches("\u{1b}[?25l").count(), 1, "the cursor is hidden once");
    assert_eq!(output.matches("\u{1b}[?25h").count(), 1, "and shown again");
    assert!(output.contains("\u{1b}[32m✓\u{1b}[0m"), "in colour");

    let screen = rendered(&output);
    assert!(screen[0].starts_with("✓ n=1  succeeded after"), "{screen:#?}");
    assert!(screen[1].starts_with("✗ n=2  exit code 1 after"), "{screen:#?}");
    assert_eq!(screen[2], "");
    assert!(screen[3].starts_with("TASK  STATE"), "{screen:#?}");
    assert!(!screen.iter().any(|line| line.contains("running")), "nothing of the view is left: {screen:#?}");
}

#[test]
fn colours_can_be_refused() {
    let sandbox = Sandbox::new();
    let (output, _) = on_terminal(&sandbox, &["--", "false"], &[("NO_COLOR", "1")]);
    assert!(!output.contains("\u{1b}[3"), "{output}");
    let (output, _) = on_terminal(&sandbox, &["--color=never", "--", "false"], &[]);
    assert!(!output.contains("\u{1b}[3"), "{output}");
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_lines() {
    let sandbox = Sandbox::new();
    let (output, code) = on_terminal(&sandbox, &["--", "true"], &[("TERM", "dumb")]);
    assert_eq!(code, Some(0));
    assert!(!output.contains('\u{1b}'), "{output}");
    assert!(output.contains("true: succeeded"), "{output}");
}
