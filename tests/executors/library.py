"""A module whose functions jobs may name; what it has from elsewhere they may not."""

import asyncio
import os
import sys
from os import getcwd
from typing import Any

from tests.executors import handlers

Elsewhere = handlers.Fussy


def add(first: int, second: int = 1) -> int:
    return first + second


async def add_slowly(first: int, second: int = 1) -> int:
    await asyncio.sleep(0)
    return first + second


def fail() -> None:
    raise LookupError("no such order")


def process_id() -> int:
    return os.getpid()


def say(**words: Any) -> dict[str, Any]:
    return words


class Thing:
    pass


def _private() -> str:
    return "secret"


here = getcwd
limit = 3
system = sys.exit
