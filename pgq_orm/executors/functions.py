"""Functions: the executor of jobs that name a function, on top of any executor that calls a handler."""

from dataclasses import dataclass, replace
from typing import Any

from pgq_orm import functions
from pgq_orm.executors.abstract import (
    AbstractEntrypointExecutor,
    EntrypointExecutorParameters,
    ExecutorFactory,
)
from pgq_orm.executors.lookup import look_up
from pgq_orm.functions import AllowedModules
from pgq_orm.handlers import Handler, is_async
from pgq_orm.models import Context, Job


@dataclass(frozen=True, slots=True)
class CallsFunctions:
    """Makes executors of jobs that name functions of these modules; `inner` makes those that call them."""

    modules: AllowedModules
    inner: ExecutorFactory

    def __call__(self, parameters: EntrypointExecutorParameters) -> AbstractEntrypointExecutor:
        return FunctionExecutor(parameters, self.modules, self.inner)

    def by(self, inner: ExecutorFactory) -> "CallsFunctions":
        """The same functions, called by another executor."""
        return CallsFunctions(self.modules, inner)


@dataclass(eq=False)
class FunctionExecutor(AbstractEntrypointExecutor):
    """Finds the function that a job names, if that is allowed, and lets another executor call it."""

    modules: AllowedModules
    inner: ExecutorFactory

    def __post_init__(self) -> None:
        # What cannot serve any function is found out when the worker starts.
        self._executors: dict[Handler, AbstractEntrypointExecutor] = {
            functions.call: self.inner(replace(self.parameters, func=functions.call))
        }

    async def execute(self, job: Job, context: Context) -> Any:
        func, _ = functions.called_by(job)
        function = await look_up(func, self.modules, self.parameters.threads)
        handler: Handler = functions.call_async if is_async(function) else functions.call
        if handler not in self._executors:
            self._executors[handler] = self.inner(replace(self.parameters, func=handler))
        return await self._executors[handler].execute(job, context)

    async def close(self) -> None:
        for executor in self._executors.values():
            await executor.close()
