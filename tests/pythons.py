"""The wheel on other Pythons than the one it was built with: `make test-pythons`.

One abi3 wheel is installed and tested on each version that is found, as `pythonX.Y` on the PATH or by pyenv.
A free-threaded Python knows no abi3 and gets a wheel of its own. What was not found is said in the end.

    make test-pythons                          # all that are found
    make test-pythons PYTHONS="3.12 3.14t"     # these, which must be there
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "pythons"
VERSIONS = ["3.12", "3.13", "3.14", "3.14t"]
ASK = """
import sys, sysconfig
print("%d.%d" % sys.version_info[:2] + "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED")))
"""


def main(wanted: list[str]) -> int:
    found = {version: find(version) for version in wanted or VERSIONS}
    wheels: dict[str, Path] = {}
    said, failed = [], False
    for version, python in found.items():
        if python is None:
            failed |= bool(wanted)
            said.append(f"{version:6} not found")
            continue
        kind = version if is_free_threaded(version) else "abi3"
        if kind not in wheels:
            wheels[kind] = wheel(Path(sys.executable) if kind == "abi3" else python, kind)
        passed, last_line = test(python, version, wheels[kind])
        failed |= not passed
        said.append(f"{version:6} {wheels[kind].name}: {last_line.strip()}")
    print("\n".join(["", *said]))
    return int(failed)


def find(version: str) -> Path | None:
    """A shim of pyenv may be on the PATH and lead nowhere, so each is asked."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    by_pyenv = pyenv.glob(f"versions/{version.rstrip('t')}*/bin/python")
    for python in filter(None, [shutil.which(f"python{version}"), *sorted(by_pyenv)]):
        asked = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=False)
        if asked.returncode == 0 and asked.stdout.strip() == version:
            return Path(python).resolve()  # what an environment made by it looks beside
    return None


def is_free_threaded(version: str) -> bool:
    return version.endswith("t")


def wheel(python: Path, name: str) -> Path:
    folder = FOLDER / "wheels" / name
    shutil.rmtree(folder, ignore_errors=True)
    pip(python, "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    [built] = folder.glob("*.whl")
    assert ("-abi3-" in built.name) is not is_free_threaded(name), built.name
    return built


def test(python: Path, version: str, own: Path) -> tuple[bool, str]:
    folder = FOLDER / version
    run(python, "-m", "venv", "--clear", "--without-pip", folder)  # some have none to give
    python = folder / "bin/python"
    pip(python, "install", "--requirement", ROOT / "tests/python/requirements.txt", own)
    pytest = subprocess.Popen(
        [python, "-m", "pytest", "-q", "-r", "fE", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert pytest.stdout is not None
    line = ""
    for line in pytest.stdout:
        print(line, end="", flush=True)
    return pytest.wait() == 0, line


def pip(python: Path, *command: str | Path) -> None:
    """A pip that knows the newest Pythons, for one that may have none."""
    newest = FOLDER / "pip"
    if not newest.exists():
        run(sys.executable, "-m", "venv", newest)
        run(newest / "bin/python", "-m", "pip", "install", "--quiet", "--upgrade", "pip")
    run(newest / "bin/python", "-m", "pip", "--python", python, "--quiet", *command)


def run(*command: str | Path) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
