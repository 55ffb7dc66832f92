"""Handlers that another process can import by their names."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pgq_orm.models import Context, Job


def double(job: Job) -> int:
    assert job.arguments is not None
    return 2 * int(job.arguments["number"])


def process_id(job: Job) -> int:
    return os.getpid()


def fail(job: Job) -> None:
    raise ValueError("no such order")


calls: list[str] = []


def count_calls(job: Job) -> int:
    calls.append("there")
    return len(calls)


class Fussy(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, order: int, reason: str) -> None:
        super().__init__(f"order {order}: {reason}")


def fail_fussily(job: Job) -> None:
    raise Fussy(7, "lost")


def give_back_what_no_pickle_holds(job: Job) -> Any:
    return lambda: None


def leave(job: Job) -> None:
    sys.exit("enough")


def survive_a_request_to_end(job: Job) -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    return "still here"


def take_nothing() -> str:
    return "done"


def exit_hard(job: Job) -> None:
    os._exit(7)


def crash(job: Job) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_if_told(job: Job) -> str:
    if job.payload == b"crash":
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def fill_memory(job: Job) -> int:
    if job.payload == b"much":
        return len(bytearray(4 << 30))
    return os.getpid()


def note_and_hang(job: Job) -> None:
    """Notes its process, and that of a program that it has started, in the file of the payload."""
    _note(job, os.getpid(), subprocess.Popen(["sleep", "60"]).pid)
    time.sleep(60)


def note_and_hold_the_lock(job: Job) -> None:
    """Notes its process, and keeps every other thread of it from running."""
    _note(job, os.getpid())
    3 ** (10**9)


def _note(job: Job, *pids: int) -> None:
    assert job.payload is not None
    noted = Path(os.fsdecode(job.payload))
    noted.with_suffix(".new").write_text(" ".join(map(str, pids)))
    noted.with_suffix(".new").rename(noted)  # as a whole


def meet_another(job: Job) -> int:
    """Waits until another process is here, too."""
    assert job.payload is not None
    place = Path(os.fsdecode(job.payload))
    (place / str(os.getpid())).touch()
    while len(list(place.iterdir())) < 2:
        time.sleep(0.01)
    return os.getpid()


def wait_for_file(job: Job) -> int:
    assert job.payload is not None
    awaited = Path(os.fsdecode(job.payload))
    awaited.with_suffix(".begun").touch()
    while not awaited.exists():
        time.sleep(0.01)
    return os.getpid()


def greet(job: Job) -> str:
    return os.environ["GREETING"]


def set_greeting() -> None:
    os.environ["GREETING"] = "hello from the initializer"


def refuse_to_begin() -> None:
    raise RuntimeError("no licence")


async def awaiting(job: Job) -> None: ...


def wanting_context(job: Job, context: Context) -> None: ...
