"""Processes: whether the ones that were started still are there."""

from pathlib import Path

from tests.eventually import aeventually


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    # a zombie is dead; who should take note of it is not our affair
    return stat.rpartition(")")[2].split()[0] != "Z"


async def noted_in(path: Path) -> list[int]:
    """The process numbers that a handler has noted in a file."""
    await aeventually(path.exists, timeout=40)  # two interpreters may have to start before
    return _read(path)


def _read(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()]


async def all_gone(pids: list[int]) -> bool:
    return bool(await aeventually(lambda: not any(is_alive(pid) for pid in pids)))
