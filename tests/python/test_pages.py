"""Every command and every block of code in the documentation does what the page says."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import Block, Shell, blocks, python, shows

pytest.importorskip("sklearn")  # the examples' own

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "orchestrator/cli/spec.md"])


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with the examples in it, and an environment of its own; in the end nothing runs any more."""
    folder = tmp_path / "page"
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    mark = f"pages-{os.getpid()}-{tmp_path.name}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRAINWIRE_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "COLUMNS": "110",
        "PAGE": mark,
        "KERAS_BACKEND": "torch",
    }
    yield folder, environment
    for entry in Path("/proc").iterdir():
        try:
            environ = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
            if f"PAGE={mark}".encode() in environ.split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue  # it has ended, or is not ours


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Path, reader: tuple[Path, dict[str, str]]) -> None:
    folder, environment = reader
    shell = Shell(folder, environment)
    pending: list[tuple[str, str]] = []
    try:
        for block in blocks(page.read_text()):
            place = f"{page.relative_to(ROOT)}:{block.line}"
            if block.language == "python":
                compile(block.text, place, "exec")  # a fragment, too, is Python
            if "not run" in block.said:
                assert block.said["not run"], f"{place}: say why it is not run"
            elif not importable(block.said.get("needs", "")):
                continue
            elif block.title is not None:
                (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.title).write_text(block.text)
            elif block.language == "python":
                pending.append((place, block.text))
            elif block.language == "console":
                type_in(shell, block, place)
        if pending:
            python(pending, folder, environment)
    finally:
        shell.close()


def importable(modules: str) -> bool:
    return all(importlib.util.find_spec(name.strip()) for name in modules.split(",") if name.strip())


def type_in(shell: Shell, block: Block, place: str) -> None:
    for command, wanted in commands(block.text):
        code, output = shell.run(command)
        said = f"{place}: $ {command}\n{output}"
        if "fails" in block.said:
            assert code != 0, f"should fail\n{said}"
        else:
            assert code == 0, f"exit code {code}\n{said}"
        missing = shows(wanted, output)
        assert missing is None, f"not shown: {missing}\n{said}"


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Lines behind `$ `, with what is shown below each. A line that ends in a backslash goes on."""
    found: list[tuple[str, list[str]]] = []
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command = command[:-1] + next(lines).removeprefix("> ").strip()
            found.append((command, []))
        elif found:
            found[-1][1].append(line)
    assert found or not text.strip(), "a console block shows commands behind `$ `"
    return found


def test_what_a_page_shows_is_looked_for() -> None:
    assert shows(["a … c"], "x\na b  c\n") is None
    assert shows(["c", "a"], "a\nc\n") == "a"
    assert shows(["…", ""], "") is None


def test_a_block_that_cannot_work_is_noticed(tmp_path: Path) -> None:
    shell = Shell(tmp_path, dict(os.environ))
    try:
        [block] = blocks("```console\n$ echo one; false\none\n```\n")
        with pytest.raises(AssertionError, match="exit code 1"):
            type_in(shell, block, "page.md:1")
        [block] = blocks("```console\n$ echo one\ntwo\n```\n")
        with pytest.raises(AssertionError, match="not shown: two"):
            type_in(shell, block, "page.md:1")
    finally:
        shell.close()
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        python([("page.md:1", "x = 1"), ("page.md:4", "x / 0")], tmp_path, dict(os.environ))


def test_the_site_can_be_built(tmp_path: Path) -> None:
    """Strictly: a link that leads nowhere is an error."""
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report" in (tmp_path / "site/reference/python/index.html").read_text()
