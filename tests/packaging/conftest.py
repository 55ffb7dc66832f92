"""Fixtures: the distribution as it would be uploaded, and empty environments to install it into."""

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Distribution:
    """What `make build` makes."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment that nothing but the wheel and what it requires was installed into."""

    directory: Path

    def run(self, program: str, *arguments: str) -> str:
        """The output of one of its programs, run where the checkout cannot be imported from."""
        done = subprocess.run(
            [self.directory / "bin" / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.directory,
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        )
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()

    def python(self, *statements: str) -> str:
        return self.run("python", "-W", "error", "-c", "\n".join(statements))

    def has(self, module: str) -> bool:
        return self.python("import importlib.util", f"print(importlib.util.find_spec({module!r}))") != "None"


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    """Built by the installed hatchling: the wheel from the sdist, so that an incomplete sdist shows."""
    directory = tmp_path_factory.mktemp("dist")
    _python("-m", "build", "--no-isolation", "--outdir", str(directory), str(CHECKOUT))
    (wheel,) = directory.glob("*.whl")
    (sdist,) = directory.glob("*.tar.gz")
    return Distribution(wheel, sdist)


@pytest.fixture
def installed(distribution: Distribution, tmp_path: Path) -> Callable[[str], Environment]:
    """Installs the wheel with the given extras (`[django]`, or nothing) into an empty environment."""
    # The versions of this environment: they are in pip's cache, and the matrix has chosen them.
    pins = tmp_path / "pins.txt"
    pins.write_text("\n".join(f"{known.name}=={known.version}" for known in distributions()))

    def install(extras: str) -> Environment:
        directory = tmp_path / "environment"
        venv.create(directory, with_pip=False)
        pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "--python", f"{directory}/bin/python"]
        wheel = f"pgq-orm{extras} @ {distribution.wheel.as_uri()}"
        _python(*pip, "install", "--no-compile", "--constraint", str(pins), wheel)
        return Environment(directory)

    return install


def _python(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
