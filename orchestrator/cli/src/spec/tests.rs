use super::parse::{DEFAULTS_KEYS, SPEC_KEYS, TASK_KEYS, parse};
use crate::plan::Hyperparams;

fn messages(source: &str) -> Vec<String> {
    parse(source).unwrap_err().into_iter().map(|error| error.message).collect()
}

#[test]
fn the_spec_that_is_shown_to_people() {
    let document = include_str!("../../spec.md");
    let (_, after) = document.split_once("```toml\n").unwrap();
    let (source, _) = after.split_once("```").unwrap();
    let errors: Vec<_> = parse(source).unwrap_err().into_iter().map(|error| error.label).collect();
    assert_eq!(
        errors,
        ["cannot be read: No such file or directory (os error 2)"],
        "there is no such file here"
    );
    let spec = parse(&source.replace("hyperparams_file = \"baseline.msgpack\"", "")).unwrap();
    let ids: Vec<_> = spec.tasks.iter().map(|task| task.task_id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "lr=0.1,depth=2,sample=0,momentum=0.653313",
            "lr=0.1,depth=4,sample=0,momentum=0.653313",
            "lr=1e-2,depth=2,sample=0,momentum=0.653313",
            "lr=1e-2,depth=4,sample=0,momentum=0.653313",
            "baseline",
            "from-file"
        ]
    );
    let params: toml::Table = "momentum = 0.9\nlr = 0.5".parse().unwrap();
    assert!(matches!(&spec.tasks[4].hyperparams, Hyperparams::Params(given) if *given == params));
    assert_eq!(spec.tasks[4].max_epochs, Some(20));
    for key in SPEC_KEYS.iter().chain(DEFAULTS_KEYS).chain(TASK_KEYS) {
        assert!(source.contains(key), "{key} is not shown");
    }
}

#[test]
fn one_task_unless_more_are_asked_for() {
    let spec = parse("command = ['python', '-m', 'lab.train']").unwrap();
    assert_eq!(spec.tasks.len(), 1);
    assert_eq!((spec.tasks[0].task_id.as_str(), spec.tasks[0].model_name.as_str()), ("train", "train"));
}

#[test]
fn jobs_for_trainers_started_by_hand_need_no_command() {
    assert!(parse("attach = true").unwrap().command.is_empty());
    assert_eq!(messages(""), ["no `command`"]);
    assert_eq!(messages("attach = false"), ["no `command`"]);
}

#[test]
fn one_task_reads_standard_input() {
    let task = |id: &str| format!("[[task]]\ntask_id = '{id}'\nhyperparams_file = '-'\n");
    // A mistake elsewhere, so that nothing is read.
    let source = format!("{}{}", task("a"), task("b"));
    let errors = parse(&source).unwrap_err();
    let labels: Vec<_> = errors.iter().map(|error| error.label.as_str()).collect();
    assert_eq!(labels, ["expected a key `command`", "standard input is another task's already"]);
    assert_eq!(messages("command = ['x']\ndurability = 'never'"), ["`durability` cannot be 'never'"]);
}

#[test]
fn task_ids_are_unique() {
    let source = "command = ['x']\n[grid]\na = [1, 2]\n[[task]]\ntask_id = 'a=2'";
    assert_eq!(messages(source), ["the task a=2 is there twice"]);
}

#[test]
fn everything_can_be_of_the_wrong_type() {
    for key in SPEC_KEYS {
        let key = key.trim_matches(['[', ']']);
        for value in ["1.5", "2026-01-01", "[[1]]", "{ x = [] }"] {
            let _ = parse(&format!("{key} = {value}"));
            let _ = parse(&format!("{key} = [{value}]"));
        }
        if !["environment", "defaults", "grid", "random"].contains(&key) {
            let errors = messages(&format!("{key} = {{ x = 1 }}"));
            assert!(errors.iter().any(|error| error.contains(key)), "{key}: {errors:?}");
        }
    }
}

#[test]
fn nothing_a_program_cannot_be_given() {
    let source = "command = [\"a\\u0000b\"]\n[environment]\n\"A=B\" = '1'\nC = \"\\u0000\"";
    assert_eq!(
        messages(source),
        ["`command` cannot be \"a\\u0000b\"", "no variable can have this name", "`C` cannot be \"\\u0000\""]
    );
    assert_eq!(messages("command = []"), ["`command` cannot be []"]);
    assert_eq!(messages("command = ['']"), ["`command` cannot be ['']"]);
}

#[test]
fn a_search_is_drawn_from_the_seed() {
    let source =
        "command = ['t.py']\nsamples = 3\n[random]\nlr = 'log:1e-4..1e-1'\nact = 'choice:relu,tanh'\n";
    let ids =
        |source: &str| parse(source).unwrap().tasks.into_iter().map(|task| task.task_id).collect::<Vec<_>>();
    let drawn = ids(source);
    assert_eq!(drawn.len(), 3);
    assert_eq!(drawn, ids(source));
    assert_ne!(drawn, ids(&source.replace("samples = 3", "samples = 3\nseed = 1")));
    assert_eq!(drawn[..], ids(&source.replace("samples = 3", "samples = 5"))[..3]);
    assert_eq!(ids(&source.replace("[random]", "[grid]\nn = [1, 2]\n[random]")).len(), 6);
}

#[test]
fn slips_about_searches() {
    let random = "command = ['t.py']\n[random]\n";
    for (source, message) in [
        ("command = ['t.py']\nsamples = 3", "`samples` without [random]"),
        (&*format!("{random}lr = 'log:0..1'"), "`lr` cannot be 'log:0..1'"),
        (&*format!("{random}lr = 'lgo:1..2'"), "`lr` cannot be 'lgo:1..2'"),
        (&*format!("{random}lr = 3"), "`lr` must be text in quotes, not a whole number"),
        (&*format!("{random}lr = 'int:1..9'\n[grid]\nlr = [1]"), "`random` cannot be"),
    ] {
        let messages = messages(source);
        assert!(messages.len() == 1 && messages[0].starts_with(message), "{messages:?}");
    }
}
