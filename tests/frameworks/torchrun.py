"""`trainwire run` of a command that is torchrun, and what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["ENVIRONMENT", "ROOT", "TorchRun"]

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


class TorchRun:
    """`trainwire run` with ranks of the script, in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        script: str,
        *torchrun: str,
        environment: dict[str, str] | None = None,
        **limits: Any,
    ) -> None:
        self.folder = folder
        self.environment = ENVIRONMENT | (environment or {})
        (folder / "train.py").write_text(script)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        spec = {"command": [*command, *torchrun, "train.py"], "start_timeout": "5m", "backoff_min": "1ms"}
        lines = [f"{key} = {json.dumps(value)}" for key, value in (spec | limits).items()]
        (folder / "spec.toml").write_text("\n".join(lines) + "\n\n[defaults]\nmax_epochs = 100000\n")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["trainwire", "run", "spec.toml", "--json"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def wait_for(self, name: str) -> None:
        """Until the ranks have written a file of this name."""
        until = time.monotonic() + 120
        while not (self.folder / name).exists():
            assert self.process.poll() is None and time.monotonic() < until, self.ended()
            time.sleep(0.02)

    def ended(self) -> list[dict[str, Any]]:
        """All events, once it is over; on the way out what was logged."""
        out, self.table = self.process.communicate(timeout=150)
        for log in self.folder.glob(".trainwire/*/jobs/*/logs/*.log"):
            print(log.read_text())
        return [json.loads(line) for line in out.splitlines()]

    def ending(self) -> dict[str, Any]:
        """The end of the one attempt of the one task."""
        self.events = self.ended()
        [ending] = [event for event in self.events if event["event"] == "ended"]
        return ending

    def written(self, name: str) -> list[str]:
        return [(self.folder / f"{name}-{rank}").read_text() for rank in range(2)]
