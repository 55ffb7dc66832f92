"""Capabilities: what an executor can do to an attempt that runs, so that nobody relies on what it cannot."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pgq_orm.errors import RegistrationError

# macOS has the call, and does not keep to it.
IS_MEMORY_LIMITABLE = sys.platform != "darwin"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an executor can do to an attempt that runs."""

    time_limit: bool = False
    """Ends it when its time is up."""
    memory_limit: bool = False
    """Bounds its memory."""
    cancellation: bool = False
    """Ends it when somebody asks the job to stop."""
    transactional: bool = False
    """Ends the job in the transaction in which its handler writes."""

    def require(self, executor: str, options: Mapping[str, object]) -> None:
        """Refuses an option that takes more than there is. Raises RegistrationError that says what to use instead."""
        for name, remedy in _REMEDIES.items():
            if options.get(name) is not None and not getattr(self, name):
                raise RegistrationError(f"{executor} has no {name}: {remedy}")


_REMEDIES = {
    "time_limit": (
        "nothing can stop what runs there; use ProcessExecutor or SubprocessExecutor, whose processes are killed"
    ),
    "transactional": (
        "its handler's work is not done in a transaction that the worker could end the job in; use EntrypointExecutor, "
        "or one made from it that leaves execute() to it"
    ),
    "memory_limit": (
        "only a process of its own can be bounded; use ProcessExecutor or SubprocessExecutor"
        if IS_MEMORY_LIMITABLE
        else f"{sys.platform} does not limit the memory of a process; run the worker in a container that does"
    ),
}
