"""Process: the executor that runs handlers in processes of their own, and can therefore end them."""

import asyncio
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pgq_orm.errors import RegistrationError
from pgq_orm.executors.abstract import AbstractEntrypointExecutor
from pgq_orm.executors.capabilities import IS_MEMORY_LIMITABLE, Capabilities
from pgq_orm.executors.children import Child, DiedIdle, Upbringing
from pgq_orm.executors.errands import Answer, errand_to, require_nameable
from pgq_orm.executors.options import Duration, require_count, seconds
from pgq_orm.executors.pool import Pool
from pgq_orm.executors.threads import call_in_thread
from pgq_orm.handlers import Handler
from pgq_orm.models import Context, Job


@dataclass(eq=False)
class ProcessExecutor(AbstractEntrypointExecutor):
    """Runs the handler, a plain function at the top of a module, in a spawned process: one job at a time in each.

    For work that keeps a processor busy, leaks, crashes or must be ended by force. A process that ends under its job
    ends that job alone, as ProcessCrashed; the next job gets a new process. A process dies with its worker.
    """

    processes: int | None = None
    """How many at a time, each made when it is first needed; as many as there are processors by default. Further jobs
    wait for one in the worker."""
    time_limit: Duration | None = None
    """How long the handler may run; then its process is killed, and the job fails with TimeoutError."""
    memory_limit: int | None = None
    """Bytes of address space that a process may take (RLIMIT_AS), Python's own included; beyond that MemoryError."""
    jobs_per_process: int | None = None
    """After how many jobs a process is replaced, for handlers that leak; None for never."""
    initializer: Callable[[], object] | None = None
    """An importable function that each new process calls first: to set up logging, for example."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        time_limit=True, memory_limit=IS_MEMORY_LIMITABLE, cancellation=True
    )

    @classmethod
    def check(cls, handler: Handler, options: Mapping[str, object]) -> None:
        super().check(handler, options)
        require_nameable(handler)

    def __post_init__(self) -> None:
        self._time_limit = seconds("time_limit", self.time_limit)
        for name in ("processes", "memory_limit", "jobs_per_process"):
            require_count(name, getattr(self, name))
        upbringing = Upbringing(
            errand_to(self.parameters.func, self.parameters.scopes, self.parameters.accepts_context),
            self.initializer,
            self.memory_limit,
            self.jobs_per_process,
        )
        _require_picklable(upbringing)
        self._pool = Pool(
            self.processes or os.cpu_count() or 1, lambda: Child(upbringing), self.parameters.shutdown
        )

    async def execute(self, job: Job, context: Context) -> Any:
        subject = pickle.dumps(context.schedule or job)
        answered = None
        while answered is None:
            answered = await self._try(subject)
        return answered.give()

    async def close(self) -> None:
        await self._pool.close()

    async def _try(self, subject: bytes) -> Answer | None:
        """How the handler ended; None if a process that was waiting for a job turned out to be dead."""
        async with self._pool.lend() as child:
            is_new = not child.is_ready
            if is_new:
                await call_in_thread(self.parameters.threads, child.start, interrupt=child.kill)
            try:
                return await self._call(child, subject)
            except DiedIdle:
                if is_new:
                    raise
                return None

    async def _call(self, child: Child, subject: bytes) -> Answer:
        try:
            async with asyncio.timeout(self._time_limit):
                return await call_in_thread(
                    self.parameters.threads, lambda: child.call(subject), interrupt=child.kill
                )
        except TimeoutError:
            raise TimeoutError(
                f"the handler ran for more than {self.time_limit}, and its process was killed"
            ) from None


def _require_picklable(upbringing: Upbringing) -> None:
    try:
        pickle.dumps(upbringing)
    except Exception as error:
        raise RegistrationError(
            f"initializer must be a function that another process can import by its name: {error}"
        ) from None
