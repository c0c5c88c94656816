"""Holds a trainer where its test wants something to happen to it.

`trainwire.testing` puts this folder before a trainer's PYTHONPATH. After the row of a named epoch was
reported the trainer waits inside `report()`, until the test has stopped it, killed it, or suspended its
orchestrator: else a quick script would be over before the row has arrived. What happens to it then is real.
"""

# Every Python that a trainer starts runs this, and pathlib takes its time to import.
# ruff: noqa: PTH100, PTH110, PTH118, PTH120
import os
import sys
import time

_HERE = os.path.dirname(os.path.abspath(__file__))


def _hold(folder, epochs):
    try:
        from trainwire import Task
    except ImportError:
        return  # another Python, which is no trainer
    reported = Task.report

    def report(self, *args, **kw):
        reported(self, *args, **kw)
        epoch = kw.get("epoch")
        if epoch is None or float(epoch) not in epochs:
            return
        released = os.path.join(folder, f"{float(epoch):g}")
        if os.path.exists(released):
            return
        while not os.path.exists(released):
            time.sleep(0.005)
        time.sleep(_ARRIVES_S)

    Task.report = report


def _go_on_with_the_one_behind():
    """There may be another sitecustomize, of the environment or the distribution."""
    here, path = sys.modules.pop("sitecustomize"), list(sys.path)
    sys.path[:] = [folder for folder in path if os.path.abspath(folder) != _HERE]
    try:
        import sitecustomize  # noqa: F401
    except ImportError:
        sys.modules["sitecustomize"] = here
    finally:
        sys.path[:] = path


# Until the trainer's own thread has read the Stop that was sent, also on a busy machine.
_ARRIVES_S = 0.25

if "TRAINWIRE_HOLD_FOLDER" in os.environ:
    _hold(
        os.environ["TRAINWIRE_HOLD_FOLDER"],
        {float(epoch) for epoch in os.environ["TRAINWIRE_HOLD_EPOCHS"].split(",")},
    )
_go_on_with_the_one_behind()
