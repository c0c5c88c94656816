"""A sweep from Python: submitted, followed while it runs, and read as a table.

python examples/submit.py
"""

import trainwire

results = trainwire.sweep(
    "examples/digits.py",
    random={"lr": ("log", 1e-4, 1e-2), "hidden": [32, 64], "alpha": ("log", 1e-5, 1e-3)},
    samples=4,
    seed=1,
    trainers=2,
    max_epochs=10,
    show=True,
)
print(results)
results.raise_for_failures()
best = results.best("val/accuracy", mode="max")
print(f"best: {best.params}, {best.metrics['test_accuracy']:.1%} on digits it has not seen")

# The same trainer once more, with the best settings, followed event by event.
job = trainwire.submit("examples/digits.py", params=best.params, max_epochs=20)
for event in job.events():
    if event["event"] == "progress":
        row = event["rows"][-1]
        print(f"epoch {row['epoch']:.0f}  accuracy {row['metrics']['val/accuracy']:.3f}")
job.results().raise_for_failures()
