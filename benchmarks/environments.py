"""Environments: a virtual environment for each peer, made once from the package index, with pinned versions."""

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.lineup import Contestant

HERE = Path(__file__).parent
DIRECTORY = HERE / ".environments"
CONSTRAINTS = HERE / "constraints.txt"
INSTALL_SECONDS = 300


class EnvironmentFailed(Exception):
    """A peer's environment could not be made."""


def interpreter(contestant: Contestant) -> str:
    """The Python to run a contestant with; makes its environment if it needs one that is not there yet."""
    if not contestant.requirements:
        return sys.executable
    home = DIRECTORY / f"{contestant.key}-{_fingerprint(contestant)}"
    python = home / "bin" / "python"
    finished = home / "finished"
    if not finished.exists():
        print(f"Installing {contestant.label} into an environment of its own, once")
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        _install(python, contestant)
        finished.touch()
    return str(python)


def _install(python: Path, contestant: Contestant) -> None:
    command: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--constraint", CONSTRAINTS, *contestant.requirements],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        raise EnvironmentFailed(
            f"{contestant.label} could not be installed from the package index "
            f"(leave it out with WITHOUT={contestant.key}):\n{done.stderr[-2000:]}"
        )


def _fingerprint(contestant: Contestant) -> str:
    """Another one for other versions, of the interpreter too."""
    parts = [sys.version, *contestant.requirements, CONSTRAINTS.read_text()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
