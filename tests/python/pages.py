"""Reads the code blocks out of a page of the documentation, and does what they say.

What a reader is told to type is typed, what they are told to write into a file is written, and what they are
told to see must be seen:

- a `console` block is run line by line in one shell a page; what stands below a command must be in its
  output, in this order, `…` standing for anything;
- a block with a `title="name"` is that file;
- any other `python` block is run, all of a page in one process.

Comments just above a block say what is special about it: `<!-- needs: torch -->` (skipped where it cannot be
imported), `<!-- fails -->` (the last command's exit code is not 0), `<!-- not run: reason -->`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Block", "Shell", "blocks", "python", "shows"]

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[\w-]*) *(?P<attributes>[^`]*)$")
COMMENT = re.compile(r"^ *<!-- (?P<word>needs|fails|not run)(?:: (?P<value>.*?))? -->$")
SNIPPET = re.compile(r'--8<-- "([^"]+)"')
TITLE = re.compile(r'title="([^"]+)"')


@dataclass
class Block:
    language: str
    text: str
    line: int
    """Of the opening fence, from 1."""
    title: str | None = None
    said: dict[str, str] = field(default_factory=dict)
    """What the comments above it say."""


def blocks(page: str) -> list[Block]:
    found: list[Block] = []
    said: dict[str, str] = {}
    lines = iter(enumerate(page.splitlines(), start=1))
    for number, line in lines:
        if comment := COMMENT.match(line):
            said[comment["word"]] = comment["value"] or ""
        elif fence := FENCE.match(line):
            indent, body = len(fence["indent"]), []
            for _, inner in lines:
                if inner.strip() == fence["ticks"]:
                    break
                body.extend(included(inner[indent:]))
            else:
                raise AssertionError(f"line {number}: the block has no end")
            title = TITLE.search(fence["attributes"])
            text = "\n".join(body) + "\n"
            found.append(Block(fence["language"], text, number, title[1] if title else None, said))
            said = {}
        elif line.strip():
            said = {}
    return found


def included(line: str) -> list[str]:
    """The line, or the file it stands for on the site."""
    snippet = SNIPPET.fullmatch(line)
    return (ROOT / snippet[1]).read_text().splitlines() if snippet else [line]


def shows(wanted: list[str], output: str) -> str | None:
    """The first line of `wanted` that `output` does not show where it should."""
    lines = iter(output.splitlines())
    for line in wanted:
        parts = [re.escape(" ".join(part.split())) for part in line.split("…")]
        pattern = re.compile(".*".join(parts))
        if line.strip() not in ("", "…") and not any(
            pattern.fullmatch(" ".join(seen.split())) for seen in lines
        ):
            return line
    return None


class Shell:
    """One bash, as a reader would have it open while going through a page."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.output = folder.parent / f"{folder.name}.output"
        self.output.touch()
        self.bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """The exit code and what was written, to both outputs."""
        assert self.bash.stdin is not None and self.bash.stdout is not None
        self.output.write_text("")
        self.bash.stdin.write(f'{{ {command}\n}} </dev/null >>{self.output} 2>&1; echo "$?"\n')
        self.bash.stdin.flush()
        said = self.bash.stdout.readline()
        assert said, f"the shell ended with `{command}`:\n{self.output.read_text()}"
        return int(said), self.output.read_text()

    def close(self) -> None:
        self.bash.kill()
        self.bash.communicate()


PYTHON = """
import json, sys, traceback
namespace = {"__name__": "__main__"}
for line in sys.stdin:
    place, text = json.loads(line)
    try:
        exec(compile(text, place, "exec"), namespace)
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1)
"""


def python(code: list[tuple[str, str]], folder: Path, environment: dict[str, str]) -> None:
    """Runs blocks one after the other in one process."""
    done = subprocess.run(
        [sys.executable, "-c", PYTHON],
        input="".join(json.dumps(block) + "\n" for block in code),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
