"""A search by Optuna: it proposes settings, trainwire trains them, and stops early what is not promising.

pip install optuna
python examples/optuna_sweep.py
"""

import optuna

import trainwire

TRAINERS = 2
TRIALS = 10

study = optuna.create_study(
    direction="maximize",
    sampler=optuna.samplers.TPESampler(seed=1),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2),
)
# Tasks are added one by one, and the trainers stay warm in between.
job = trainwire.submit("examples/digits.py", open=True, trainers=TRAINERS, max_epochs=15)
running: dict[str, optuna.Trial] = {}
pruned: set[str] = set()


def ask() -> None:
    trial = study.ask()
    task = f"trial-{trial.number:02}"
    params = {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "hidden": trial.suggest_categorical("hidden", [32, 64, 128]),
        "alpha": trial.suggest_float("alpha", 1e-6, 1e-2, log=True),
    }
    running[task] = trial
    job.add([{"task_id": task, "params": params}])


def report(task: str, rows: list[dict]) -> None:
    """Each row once: an attempt that goes on after a crash may repeat an epoch."""
    trial = running[task]
    for row in rows:
        if row["epoch"] not in study.trials[trial.number].intermediate_values:
            trial.report(row["metrics"]["val/accuracy"], int(row["epoch"]))
    if task not in pruned and trial.should_prune():
        pruned.add(task)
        job.stop(task, prune=True, wait=False)


def tell(task: str, event: dict) -> None:
    """A trial may be over before it hears that it is not promising: then it counts."""
    trial = running.pop(task)
    if event["state"] == "succeeded":
        study.tell(trial, event["metrics"]["val_accuracy"])
    else:
        state = optuna.trial.TrialState.PRUNED if task in pruned else optuna.trial.TrialState.FAIL
        study.tell(trial, state=state)


events = job.events()
next(events)  # from before the first task on, so that no row is missed
for _ in range(TRAINERS):
    ask()
for event in events:
    task = event.get("task")
    if event["event"] == "progress" and task in running:
        report(task, event["rows"])
    elif event["event"] == "ended" and event["state"] != "waiting":
        tell(task, event)
        print(f"{task}: {'pruned' if task in pruned else event['state']}")
        if len(study.trials) < TRIALS:
            ask()
        elif not running:
            job.close()

print(f"{len(pruned)} of {TRIALS} were stopped early; best: {study.best_value:.3f} with {study.best_params}")
