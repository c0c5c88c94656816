"""Results read from the folder a job is in, by `trainwire results`: one program knows the journal."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from trainwire._client import outcomes
from trainwire._client.embedded import find_program
from trainwire._client.outcomes import Results
from trainwire.errors import DaemonError

__all__ = ["results"]


def results(job: str, arguments: list[str]) -> Results:
    done = subprocess.run(
        [find_program(), "results", "--json", *arguments, "--", job],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().removeprefix("error: ")
        text, code = re.fullmatch(r"(.*?)(?: \((\w+)\))?", said, re.DOTALL).groups()  # type: ignore[union-attr]
        raise DaemonError(text, code=code or "daemon_refused")
    return outcomes.results(Path(job).name, json.loads(done.stdout))
