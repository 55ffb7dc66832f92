"""Watching: Django's own autoreloader, asked only when the code has changed; what to do about it is ours."""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.apps import apps
from django.utils import autoreload


class AutoreloadWatch:
    """Watches what `runserver` watches, in the same way: by Watchman if it is there, else by looking every second."""

    def blame(self, error: BaseException) -> None:
        def raise_again() -> None:
            raise error

        with suppress(BaseException):
            autoreload.check_errors(raise_again)()  # which notes the file
        apps.ready_event.set()  # the reloader waits for it, and now it will not come

    def wait(self) -> str:
        changed: list[str] = []

        def note(sender: Any, file_path: Path, **kwargs: Any) -> None:
            changed.append(str(file_path))

        autoreload.file_changed.connect(note)
        with suppress(SystemExit):  # how the reloader asks to be started afresh
            autoreload.get_reloader().run(threading.main_thread())
        return changed[-1] if changed else "the code"
