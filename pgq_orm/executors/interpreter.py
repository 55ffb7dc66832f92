"""Interpreter: the executor that runs handlers in interpreters of their own, within the worker's process."""

import os
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol

from pgq_orm.errors import RegistrationError
from pgq_orm.executors.abstract import AbstractEntrypointExecutor
from pgq_orm.executors.capabilities import Capabilities
from pgq_orm.executors.errands import Answer, Errand, errand_to, require_nameable
from pgq_orm.executors.options import require_count
from pgq_orm.executors.pool import Pool
from pgq_orm.executors.threads import call_in_thread
from pgq_orm.handlers import Handler
from pgq_orm.models import Context, Job

MODULE = "concurrent.interpreters"


@dataclass(eq=False)
class SubInterpreterExecutor(AbstractEntrypointExecutor):
    """Runs the handler, a plain function at the top of a module, in an interpreter with a lock of its own.

    For work that keeps a processor busy, at less cost than a process. Nothing can end it: a job that is asked to stop,
    or whose time is up, keeps its slot until it has ended. What crashes there crashes the worker. Python 3.14.
    """

    interpreters: int | None = None
    """How many at a time, each made when it is first needed; as many as there are processors by default."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    @classmethod
    def check(cls, handler: Handler, options: Mapping[str, object]) -> None:
        super().check(handler, options)
        require_nameable(handler)
        if find_spec(MODULE) is None:
            raise RegistrationError(
                f"{cls.__name__} needs the interpreters of Python 3.14, and this is Python "
                f"{sys.version_info.major}.{sys.version_info.minor}: use ProcessExecutor"
            )

    def __post_init__(self) -> None:
        require_count("interpreters", self.interpreters)
        errand = errand_to(self.parameters.func, self.parameters.scopes, self.parameters.accepts_context)
        if errand.module == "__main__":
            raise RegistrationError(
                f"{errand.qualname} is in the script that was started, which another interpreter cannot import: "
                "define it in a module"
            )
        self._pool = Pool(
            self.interpreters or os.cpu_count() or 1, lambda: Tenant(errand), self.parameters.shutdown
        )

    async def execute(self, job: Job, context: Context) -> Any:
        subject = pickle.dumps(context.schedule or job)
        async with self._pool.lend() as tenant:
            answered = await call_in_thread(self.parameters.threads, lambda: tenant.call(subject))
        return answered.give()

    async def close(self) -> None:
        await self._pool.close()


class Tenant:
    """An interpreter for one job at a time. Its methods block."""

    is_fit = True

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._interpreter: _Interpreter | None = None

    def call(self, subject: bytes) -> Answer:
        """Runs the handler on a pickled job or schedule, in this thread."""
        if self._interpreter is None:
            self._interpreter = import_module(MODULE).create()
            self._interpreter.exec(f"import sys; sys.path[:] = {sys.path!r}")
        answered: Answer = pickle.loads(self._interpreter.call(_perform, pickle.dumps(self._errand), subject))
        return answered

    def close(self) -> None:
        """Ends it."""
        if self._interpreter is not None:
            self._interpreter.close()


class _Interpreter(Protocol):
    def exec(self, code: str, /) -> None: ...

    def call(self, function: Callable[..., bytes], /, *args: bytes) -> bytes: ...

    def close(self) -> None: ...


def _perform(errand: bytes, subject: bytes) -> bytes:
    # Refers to nothing outside itself, so that it is carried over as it is, and imports what it needs over there.
    import pickle

    from pgq_orm.executors.errands import answer

    return answer(pickle.loads(errand).perform, subject)
