"""The Python end of the reports benchmark: a loop that does nothing but report.

The first task reports, the second one says what that cost this process: all its threads, the loop
itself, the last row's way into the socket and the wait for the result's acknowledgement included.
"""

import os
import sys
import time
from itertools import cycle

import trainwire

os.sched_setaffinity(0, {int(sys.argv[1])})
# Four floats a row, made beforehand: 1,024 rows that the other end can work out from the step.
ROWS = [(k * 0.5, k * 0.25, -float(k), k + 0.125) for k in range(1024)]


def report(task: trainwire.Task, reports: int) -> None:
    for step, (loss, a, b, c) in zip(range(reports), cycle(ROWS), strict=False):
        task.report(step=step, loss=loss, a=a, b=b, c=c)


reports, cpu, wall = 0, 0.0, 0.0
for task in trainwire.tasks():
    with task:
        if task.task_id == "figures":
            task.finish(cpu_us=cpu / reports * 1e6, wall_us=wall / reports * 1e6)
            continue
        reports = int(task.params["reports"])
        cpu, wall = time.process_time(), time.perf_counter()
        report(task, reports)
        task.finish()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
