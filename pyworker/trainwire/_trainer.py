"""The decorator `trainwire.trainer`. Its types are in the `.pyi`: importing `typing` takes longer
than importing all of trainwire.
"""

from trainwire._core import tasks


class Trainer:
    """A function that trains one task. Calling it calls the function."""

    def __init__(self, fit, *, keep_going=False):
        self.fit = fit
        self.keep_going = keep_going
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(self, name, getattr(fit, name, None))

    def __call__(self, task):
        return self.fit(task)

    def serve(self, *, params=None, max_epochs=None):
        """Works off the job's tasks; offline one task with these defaults.

        What the function returns is the task's result, unless it has called `task.finish()`.
        """
        with tasks(params=params, max_epochs=max_epochs, keep_going=self.keep_going) as work:
            for task in work:
                with task:
                    result = self.fit(task)
                    if not task.ended:
                        task.finish(result)


def trainer(fn=None, /, *, keep_going=False):
    """Makes a `Trainer` of a function: `@trainer` or `@trainer(keep_going=True)`.

    `keep_going`: after a task that raised an `Exception`, go on with the next one.
    """
    if fn is None:
        return lambda fn: Trainer(fn, keep_going=keep_going)
    return Trainer(fn, keep_going=keep_going)
