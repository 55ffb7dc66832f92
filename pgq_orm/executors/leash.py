"""Leash: a process that was started for a job ends when the worker does, with whatever it has started itself.

It holds the reading end of a pipe whose writing end is the worker's alone. Nothing is ever written: the pipe breaks
when the worker dies, however it dies. Imported by child processes, and run as a script that becomes a command:
`leash.py PIPE MEMORY COMMAND…`. It must be the leader of its process group.
"""

import fcntl
import os
import resource
import signal
import sys
import threading


def hold(pipe: int) -> None:
    """Has the kernel kill this process's group when the pipe breaks, whatever the process is busy with.

    Survives `exec`. Linux alone can send SIGKILL for that; elsewhere this does nothing.
    """
    if sys.platform == "linux":
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def watch(pipe: int) -> None:
    """The same by a thread, on any system, as soon as the handler lets threads run."""

    def wait() -> None:
        os.read(pipe, 1)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, name="pgq-leash", daemon=True).start()


def limit_memory(limit_bytes: int) -> None:
    """Bounds the address space of this process and of each that it starts. Survives `exec`."""
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def _become(command: list[str]) -> None:
    # Python ignores these, and what is ignored stays so; a command in a pipeline relies on SIGPIPE.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    hold(int(sys.argv[1]))
    if sys.argv[2]:
        limit_memory(int(sys.argv[2]))
    _become(sys.argv[3:])
