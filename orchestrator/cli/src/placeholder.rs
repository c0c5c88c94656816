//! `{lr}` in a command: what it may name is known before anything is started.

use toml::{Table, Value};
use trainwire::job::{PLACEHOLDERS, placeholders};

use crate::plan::{Hyperparams, PlannedTask};

/// Whether the command is a script, started for each task: it was said to be, or names what a task has.
///
/// # Errors
/// In words: a name that some task does not have.
pub(crate) fn is_script(command: &[String], said: bool, tasks: &[PlannedTask]) -> Result<bool, String> {
    let arguments = command.get(1..).unwrap_or_default();
    let names = || arguments.iter().flat_map(|argument| placeholders(argument));
    let script = said || names().any(|name| tasks.iter().any(|task| has(task, name) == Some(true)));
    if !script {
        return Ok(false);
    }
    for task in tasks {
        if let Some(name) = names().find(|name| has(task, name) == Some(false)) {
            return Err(unknown(name, task));
        }
    }
    Ok(true)
}

/// `None`: nobody knows before the process is started, because its parameters are bytes.
fn has(task: &PlannedTask, name: &str) -> Option<bool> {
    if PLACEHOLDERS.contains(&name) {
        return Some(true);
    }
    match &task.hyperparams {
        Hyperparams::Params(params) => Some(within(params, name)),
        Hyperparams::Read { .. } => None,
    }
}

fn within(params: &Table, name: &str) -> bool {
    let nested = || {
        let (outer, inner) = name.split_once('.')?;
        inner.split('.').try_fold(params.get(outer)?, |value: &Value, key| value.get(key))
    };
    params.contains_key(name) || nested().is_some()
}

fn unknown(name: &str, task: &PlannedTask) -> String {
    let params = match &task.hyperparams {
        Hyperparams::Params(params) => params.keys().map(String::as_str).collect(),
        Hyperparams::Read { .. } => Vec::new(),
    };
    let nearest = (params.iter().chain(&PLACEHOLDERS))
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(name.len()) / 3)
        .map_or_else(String::new, |(_, known)| format!("; did you mean {{{known}}}?"));
    let has = if params.is_empty() { "no parameters".to_owned() } else { params.join(", ") };
    format!(
        "{{{name}}} in the command names no parameter of the task {}, which has {has}{nearest}\n  give it one (--param {name}=…, --grid {name}=…), or write {{{{{name}}}}} for the text itself",
        task.task_id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(task_id: &str, params: &str) -> PlannedTask {
        PlannedTask {
            task_id: task_id.to_owned(),
            model_name: "m".to_owned(),
            max_epochs: None,
            hyperparams: Hyperparams::Params(params.parse().unwrap()),
        }
    }

    fn decided(command: &str, said: bool) -> Result<bool, String> {
        let command: Vec<_> = command.split(' ').map(str::to_owned).collect();
        is_script(
            &command,
            said,
            &[task("a", "lr = 0.1\nopt = { beta = 1 }"), task("b", "lr = 1\nopt = { beta = 2 }\nx = 1")],
        )
    }

    #[test]
    fn a_placeholder_makes_it_a_script() {
        assert_eq!(decided("python t.py --lr {lr}", false), Ok(true));
        assert_eq!(decided("python t.py {opt.beta} {workdir}", false), Ok(true));
        assert_eq!(decided("python t.py", false), Ok(false));
        assert_eq!(decided("python t.py", true), Ok(true));
        // Nobody spoke of parameters.
        assert_eq!(decided("awk {print}", false), Ok(false));
    }

    #[test]
    fn what_a_task_does_not_have_is_told() {
        let text = decided("python t.py {lrr}", true).unwrap_err();
        assert_eq!(
            text,
            "{lrr} in the command names no parameter of the task a, which has lr, opt; did you mean {lr}?\n  give it one (--param lrr=…, --grid lrr=…), or write {{lrr}} for the text itself"
        );
        let text = decided("python t.py --lr {lr} {x}", false).unwrap_err();
        assert!(text.starts_with("{x} in the command names no parameter of the task a"), "{text}");
        assert!(decided("python t.py {opt.gamma}", true).unwrap_err().contains("{opt.gamma}"));
    }
}
