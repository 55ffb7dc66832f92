"""Backend: Django's own tasks framework on the queue. A task is part of the transaction in which it is enqueued.

    TASKS = {"default": {"BACKEND": "pgq_orm_django.backend.QueueBackend", "OPTIONS": {"MAX_ATTEMPTS": 3}}}

On Django 5.2 the framework is the package `django-tasks`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils import timezone
from django.utils.module_loading import import_string

from pgq_orm import models as snapshots
from pgq_orm.statuses import JobStatus, LogStatus
from pgq_orm_django.conf import find_faults
from pgq_orm_django.databases import default_alias
from pgq_orm_django.framework import (
    AnyTask,
    AnyTaskResult,
    BaseTaskBackend,
    TaskContext,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    normalize_json,
    task_enqueued,
    task_finished,
    task_started,
)
from pgq_orm_django.models import Job, Log
from pgq_orm_django.queries import enqueue
from pgq_orm_django.registry import entrypoint

ENTRYPOINT = "django.tasks"
"""The entrypoint of all tasks: any worker runs any task that it can import, as the framework promises."""
TRANSACTIONAL_ENTRYPOINT = "django.tasks.transactional"
"""The entrypoint of those that commit together with their ends. They run even if no backend asks for that any more."""
ENTRYPOINTS = (ENTRYPOINT, TRANSACTIONAL_ENTRYPOINT)

_LONGEST_ID = len(str(2**63))


@dataclass(frozen=True, slots=True)
class Options:
    """`settings.TASKS[…]["OPTIONS"]`. A key is its field's name in capitals."""

    max_attempts: int = 1
    transactional: bool = False


OPTIONS = frozenset(field.name.upper() for field in fields(Options))


STATUSES: dict[str, TaskResultStatus] = {
    JobStatus.WAITING: TaskResultStatus.READY,
    JobStatus.QUEUED: TaskResultStatus.READY,
    JobStatus.PICKED: TaskResultStatus.RUNNING,
    LogStatus.SUCCESSFUL: TaskResultStatus.SUCCESSFUL,
    LogStatus.EXCEPTION: TaskResultStatus.FAILED,
    LogStatus.CANCELED: TaskResultStatus.FAILED,
}


class QueueBackend(BaseTaskBackend):
    """Enqueues tasks as jobs, which `manage.py pgq_worker` runs. A result's id is its job's."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        # The framework takes an absent QUEUES for "default" alone. Here a queue's name needs no declaration.
        super().__init__(alias, {"QUEUES": [], **params})
        self._misplaced = sorted(OPTIONS & params.keys())

    def entrypoint_of_tasks(self) -> str:
        """The entrypoint of the jobs that its tasks are."""
        return TRANSACTIONAL_ENTRYPOINT if self.options.get("TRANSACTIONAL") else ENTRYPOINT

    def enqueue(self, task: AnyTask, args: Any, kwargs: Any) -> AnyTaskResult:  # type: ignore[override]
        self.validate_task(task)
        call = {
            "task": task.module_path,
            "args": normalize_json(args),
            "kwargs": normalize_json(kwargs),
            "backend": self.alias,
        }
        run_after = task.run_after
        if run_after is not None and timezone.is_naive(run_after):
            run_after = timezone.make_aware(run_after)  # the framework allows it with USE_TZ off
        job_id = enqueue(
            self.entrypoint_of_tasks(),
            priority=task.priority,
            execute_after=run_after,
            arguments=call,
            queue=task.queue_name,
            max_attempts=self.options.get("MAX_ATTEMPTS"),
        )
        result = _result(str(job_id), task, call, TaskResultStatus.READY, enqueued_at=timezone.now())
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> AnyTaskResult:
        """The result as the queue knows it now; log rows older than the worker's retention are gone.

        Raises TaskResultDoesNotExist, and ImportError for a result whose task has been removed or renamed: the
        framework's results hold their task, and to deny that there is one would hide it.
        """
        if not result_id.isdecimal() or len(result_id) > _LONGEST_ID:
            raise TaskResultDoesNotExist(result_id)
        # The job first: if it ends between the two questions, the second one answers how.
        job = Job.objects.using(default_alias()).filter(pk=int(result_id), entrypoint__in=ENTRYPOINTS).first()
        logs = list(
            Log.objects.using(default_alias())
            .filter(job_id=int(result_id), entrypoint__in=ENTRYPOINTS)
            .order_by("id")
        )
        last = logs[-1] if logs and not logs[-1].retried else None
        if last is not None:
            return _result_of_log(last, logs)
        if job is not None:
            return _result_of_job(job, logs)
        raise TaskResultDoesNotExist(result_id)

    def check(self, **_: Any) -> list[CheckMessage]:
        own = f"settings.TASKS[{self.alias!r}]"
        faults = [f"{own}['OPTIONS']: {fault}" for fault in find_faults(self.options, Options)]
        if not faults and self.options.get("MAX_ATTEMPTS", 1) < 1:
            faults = [
                f"{own}['OPTIONS']: MAX_ATTEMPTS must be at least 1, found {self.options['MAX_ATTEMPTS']!r}"
            ]
        faults += [f"{own}: {key!r} belongs into its 'OPTIONS'" for key in self._misplaced]
        return [Error(fault, id="pgq_orm_django.E004") for fault in faults]


@entrypoint(TRANSACTIONAL_ENTRYPOINT, transactional=True)
@entrypoint(ENTRYPOINT)
async def run_task(job: snapshots.Job) -> dict[str, Any]:
    """Runs a task: an async one on the worker's loop, a sync one in the job's thread.

    The answer becomes the log row's result, and repeats the call: the arguments of what succeeded are not kept.
    """
    call = dict(job.arguments)
    task: AnyTask = import_string(call["task"])
    sender = type(task.get_backend())
    result = _result(
        str(job.id),
        task,
        call,
        TaskResultStatus.RUNNING,
        enqueued_at=job.created if settings.USE_TZ else timezone.make_naive(job.created),
        started_at=timezone.now(),
        worker_ids=[str(job.worker_id)] * (job.attempts + 1),
    )
    await task_started.asend(sender, task_result=result)
    context = (TaskContext(task_result=result),) if task.takes_context else ()
    try:
        value = normalize_json(await task.acall(*context, *result.args, **result.kwargs))
    except Exception:
        if job.attempts + 1 >= (job.max_attempts or 1):
            await _finish(result, TaskResultStatus.FAILED, sender)
        raise
    await _finish(result, TaskResultStatus.SUCCESSFUL, sender, value)
    return {**call, "return_value": value}


async def _finish(
    result: AnyTaskResult, status: TaskResultStatus, sender: type[BaseTaskBackend], value: Any = None
) -> None:
    _set(result, status=status, finished_at=timezone.now(), _return_value=value)
    await task_finished.asend(sender, task_result=result)


def _result_of_job(job: Job, logs: Sequence[Log]) -> AnyTaskResult:
    call = job.arguments or {}
    is_running = job.status == JobStatus.PICKED
    return _result(
        str(job.pk),
        _task(call, job),
        call,
        STATUSES[job.status],
        enqueued_at=job.created,
        started_at=job.updated if is_running else None,
        logs=logs,
        worker_ids=[str(job.worker_id)] if is_running else [],
    )


def _result_of_log(last: Log, logs: Sequence[Log]) -> AnyTaskResult:
    call = last.result or last.arguments or {}
    result = _result(
        str(last.job_id), _task(call, last), call, STATUSES[last.status], enqueued_at=last.enqueued, logs=logs
    )
    _set(result, finished_at=last.created, _return_value=call.get("return_value"))
    return result


def _task(call: Mapping[str, Any], row: Job | Log) -> AnyTask:
    try:
        known: AnyTask = import_string(call["task"])
        task = known.using()
    except (ImportError, AttributeError) as error:
        job_id = row.pk if isinstance(row, Job) else row.job_id
        raise ImportError(
            f"the result {job_id} is of {call['task']!r}, which is no task any more ({error}): keep a task under that "
            "name for as long as its results are asked for"
        ) from error
    # As they are, also where the framework would not have them enqueued: operators move jobs.
    _set(task, priority=row.priority, queue_name=row.queue)
    return task


def _result(
    result_id: str,
    task: AnyTask,
    call: Mapping[str, Any],
    status: TaskResultStatus,
    *,
    enqueued_at: datetime,
    started_at: datetime | None = None,
    logs: Sequence[Log] = (),
    worker_ids: Sequence[str] = (),
) -> AnyTaskResult:
    starts = [start for start in (*(log.started for log in logs), started_at) if start]
    return TaskResult(
        task=task,
        id=result_id,
        status=status,
        enqueued_at=enqueued_at,
        started_at=starts[0] if starts else None,
        last_attempted_at=starts[-1] if starts else None,
        finished_at=None,
        args=call["args"],
        kwargs=call["kwargs"],
        backend=call["backend"],
        errors=[_error(log) for log in logs if log.status == LogStatus.EXCEPTION],
        worker_ids=[*(str(log.worker_id) for log in logs if log.worker_id), *worker_ids],
    )


def _error(log: Log) -> TaskError:
    """The attempt's error. The log has the class's bare name, and a traceback that says where the class is from."""
    traceback = log.traceback or ""
    name = (log.error or "").partition(":")[0]
    found = re.findall(rf"^((?:\w+\.)+){re.escape(name)}\b", traceback, re.MULTILINE)
    return TaskError(exception_class_path=(found[-1] if found else "builtins.") + name, traceback=traceback)


def _set(result: AnyTaskResult | AnyTask, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(result, name, value)  # frozen for everybody but the backend
