"""The build backend: maturin's, with the native `trainwire` binary added to the wheel.

A wheel carries a program best as a script in its `.data` folder: pip puts it on the PATH as it
is, with no interpreter started before it. maturin packages either an extension module or
binaries, never both, so its hooks build the extension, and this adds the binary to their wheel.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import maturin
from maturin import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

# Without cargo the build fails and says so; left to itself, maturin would download a toolchain.
os.environ.setdefault("MATURIN_NO_INSTALL_RUST", "1")

ConfigSettings = Mapping[str, Any] | None


def build_wheel(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    name: str = maturin.build_wheel(wheel_directory, config_settings, metadata_directory)
    add_script(Path(wheel_directory, name), build_binary())
    return name


def build_editable(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    name: str = maturin.build_editable(wheel_directory, config_settings, metadata_directory)
    add_script(Path(wheel_directory, name), build_binary())
    return name


def build_binary() -> Path:
    """Builds `trainwire`, stripped, and returns where cargo put it."""
    build = ["cargo", "rustc", "--release", "--locked", "-p", "trainwire-cli", "--bin", "trainwire"]
    # On the last rustc alone, so the dependencies are those of every other release build.
    strip = ["--", "-C", "strip=symbols"]
    messages = subprocess.run(
        [*build, "--message-format=json-render-diagnostics", *strip],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    artifacts = map(json.loads, messages.splitlines())
    return next(Path(a["executable"]) for a in artifacts if a.get("executable"))


def add_script(wheel: Path, program: Path) -> None:
    """Puts `program` among the wheel's scripts and into its RECORD."""
    distribution = "-".join(wheel.name.split("-")[:2])
    content = program.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    script = f"{distribution}.data/scripts/{program.name}"

    # A zip cannot replace an entry, and RECORD must name the new one: the wheel is written anew.
    complete = wheel.with_suffix(".complete")
    with ZipFile(wheel) as old, ZipFile(complete, "w", ZIP_DEFLATED) as new:
        record = old.getinfo(f"{distribution}.dist-info/RECORD")
        for entry in old.infolist():
            if entry is not record:
                new.writestr(entry, old.read(entry))
        entry = ZipInfo(script, record.date_time)  # maturin's, so builds stay reproducible
        entry.compress_type = ZIP_DEFLATED
        entry.external_attr = (REGULAR_FILE | EXECUTABLE) << 16
        new.writestr(entry, content)
        line = f"{script},sha256={digest},{len(content)}\n"
        new.writestr(record, line.encode() + old.read(record))
    complete.replace(wheel)


REGULAR_FILE = 0o100000  # S_IFREG
EXECUTABLE = 0o755
