"""Whoever meets a code finds it in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/errors.md"
SOURCES = [
    *ROOT.glob("schema/*/src/**/*.rs"),
    *ROOT.glob("orchestrator/**/src/**/*.rs"),
    *ROOT.glob("bindings/src/**/*.rs"),
    *ROOT.glob("pyworker/trainwire/**/*.py"),
]
# Where code gives a code a name: the bodies of `fn code`, refusals, and the classes of Python.
GIVEN = [
    re.compile(r'\bErr\(\(\s*"([a-z_]+)",'),
    re.compile(r'\b(?:bad_request|ApiError::new)\((?:StatusCode::\w+, )?\s*"([a-z_]+)",'),
    re.compile(r'\bClass::\w+,\s*"([a-z_]+)",'),
    re.compile(r'^    code(?:: str)? = "([a-z_]+)"', re.MULTILINE),
]
BODY = re.compile(r"fn code(?:_of)?\([^)]*\) -> [^{]*\{(.*?)^ *\}$", re.DOTALL | re.MULTILINE)


def codes() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in SOURCES:
        if "generated" in path.parts or "tests" in path.parts or path.stem == "tests":
            continue
        text = path.read_text()
        for body in BODY.finditer(text):
            found.update(dict.fromkeys(re.findall(r'"([a-z_]+)"', body[1]), path))
        for pattern in GIVEN:
            found.update(dict.fromkeys(pattern.findall(text), path))
    return found


def test_every_code_is_explained() -> None:
    given = codes()
    assert len(given) > 90, "the patterns above find less than there is"
    page = PAGE.read_text()
    missing = {code: str(path.relative_to(ROOT)) for code, path in given.items() if f"`{code}`" not in page}
    assert not missing


def test_every_code_that_is_explained_exists() -> None:
    tables = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    explained = {code for line in tables for code in re.findall(r"`([a-z_]+)`", line.split("|")[1])}
    sources = "\n".join(path.read_text() for path in SOURCES)
    assert not {code for code in explained if f'"{code}"' not in sources}
