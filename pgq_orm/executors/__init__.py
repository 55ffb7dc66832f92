"""Executors: how a picked job is processed. The default one calls the handler; see docs/executors.md."""

from pgq_orm.executors.abstract import (
    AbstractEntrypointExecutor,
    EntrypointExecutorParameters,
    ExecutorFactory,
)
from pgq_orm.executors.backoff import RetryWithBackoffEntrypointExecutor
from pgq_orm.executors.calls import HandlerExited
from pgq_orm.executors.capabilities import Capabilities
from pgq_orm.executors.command import SubprocessExecutor
from pgq_orm.executors.database_retry import DatabaseRetryEntrypointExecutor
from pgq_orm.executors.entrypoint import EntrypointExecutor
from pgq_orm.executors.instances import JobInstance
from pgq_orm.executors.interpreter import SubInterpreterExecutor
from pgq_orm.executors.process import ProcessExecutor
from pgq_orm.executors.push import Executor
from pgq_orm.executors.ticks import (
    AbstractScheduleExecutor,
    ScheduleExecutor,
    ScheduleExecutorFactory,
    ScheduleExecutorFactoryParameters,
)

__all__ = [
    "AbstractEntrypointExecutor",
    "AbstractScheduleExecutor",
    "Capabilities",
    "DatabaseRetryEntrypointExecutor",
    "EntrypointExecutor",
    "EntrypointExecutorParameters",
    "Executor",
    "ExecutorFactory",
    "HandlerExited",
    "JobInstance",
    "ProcessExecutor",
    "RetryWithBackoffEntrypointExecutor",
    "ScheduleExecutor",
    "ScheduleExecutorFactory",
    "ScheduleExecutorFactoryParameters",
    "SubInterpreterExecutor",
    "SubprocessExecutor",
]
