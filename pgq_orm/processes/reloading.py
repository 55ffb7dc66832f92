"""Reloading: a program that ends when its code changes, to be started afresh by its supervisor."""

import logging
import os
import sys
import sysconfig
import threading
import time
import traceback
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Protocol

from pgq_orm.journal import tell
from pgq_orm.processes.helm import Helm
from pgq_orm.processes.worker import Program, complaint_of
from pgq_orm.worker.allowance import Ending

logger = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=5)
"""How long a change waits for what runs, before that is interrupted and given back."""
LOOK_SECONDS = 0.5


class Watch(Protocol):
    """Knows when the code has changed. Can be pickled as long as it has not been used."""

    def blame(self, error: BaseException) -> None:
        """Watches the files that an error came from, too: what could not be imported is not among the modules."""
        ...

    def wait(self) -> str:
        """Blocks until a file has changed, and answers which one."""
        ...


@dataclass(frozen=True)
class Reloading:
    """A program under the eyes of a watch. What it raises is shown, and mended by the next change."""

    program: Program
    watch: Watch

    def run(self, helm: Helm) -> Ending | None:
        """Works until there is a reason to end, a change of the code among them."""

        def wait() -> None:
            changed = self.watch.wait()
            tell(logger, logging.INFO, "%s has changed: starting afresh", changed)
            helm.finish(PATIENCE)

        # Compiled files tell changes by the second and the length: a quick correction would not be seen.
        sys.dont_write_bytecode = True
        threading.Thread(target=wait, name="pgq-watch", daemon=True).start()
        try:
            return self.program.run(helm)
        except (Exception, SystemExit) as error:
            self.watch.blame(error)
            tell(
                logger,
                logging.ERROR,
                "%s\nWaiting for a change of the code",
                complaint_of(self.program, error),
            )
            helm.finishing.wait()
            return Ending.asked

    def explain(self, error: Exception) -> str | None:
        return self.program.explain(error)


class ModuleWatch:
    """Looks at the files of all modules that were imported, but for those of Python and of installed packages."""

    def __init__(self) -> None:
        self._blamed: frozenset[str] = frozenset()  # replaced as a whole: two threads use it

    def blame(self, error: BaseException) -> None:
        files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
        if isinstance(error, SyntaxError) and error.filename:
            files.add(error.filename)
        if isinstance(error, ImportError):
            # what is missing may yet be written, beside what is there
            files |= {os.getcwd()} | {os.path.dirname(file) for file in files | _sources()}
        self._blamed |= set(filter(_is_of_the_application, files))

    def wait(self) -> str:
        began = time.time()
        seen: dict[str, float] = {}
        while True:
            for file in _sources() | self._blamed:
                changed = _changed(file)
                # One that has changed since we began may have been imported before it did.
                if changed != seen.setdefault(file, changed) or began < changed <= time.time():
                    return file
            time.sleep(LOOK_SECONDS)


_INSTALLED = tuple(
    os.path.join(path, "")
    for name, path in sysconfig.get_paths().items()
    if name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def _sources() -> set[str]:
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {file for file in files if isinstance(file, str) and _is_of_the_application(file)}


@cache
def _is_of_the_application(path: str) -> bool:
    return os.path.isabs(path) and not path.startswith(_INSTALLED)


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
