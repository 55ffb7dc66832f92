"""The questions one asks of the tables, as QuerySet verbs. Instants are compared with the database's clock."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from django.db import router
from django.db.models import BooleanField, DurationField, ExpressionWrapper, F, Q, QuerySet, Value
from django.db.models.functions import Now

from pgq_orm.administration import OnRefused
from pgq_orm.queues import ResumeAt
from pgq_orm.statuses import JobStatus, LogStatus
from pgq_orm_django import administration, queues
from pgq_orm_django.twins import awaited

if TYPE_CHECKING:
    from pgq_orm_django.models import Job, Log, Queue, Schedule, Worker  # noqa: F401 - named in strings below

VerbT = TypeVar("VerbT", bound=Callable[..., Any])


def verb(method: VerbT) -> VerbT:
    """Marks what changes rows: not for managers, which stand for all rows, and not for templates."""
    marked: Any = method
    marked.queryset_only = marked.alters_data = True
    return method


def writer(rows: Any) -> str:
    """The alias of the database where the rows of a QuerySet are changed, as its own delete() finds it."""
    alias: str = rows._db or router.db_for_write(rows.model, **rows._hints)
    return alias


def chosen(rows: QuerySet[Any], column: str) -> list[Any]:
    """That column of these rows, read where they are changed."""
    return list(rows.using(writer(rows)).values_list(column, flat=True))


class JobQuerySet(QuerySet["Job"]):
    """Jobs that are still to be done."""

    def waiting(self) -> Self:
        """Those whose dependencies have not ended."""
        return self.filter(status=JobStatus.WAITING)

    def queued(self) -> Self:
        """Those to be picked, at once or when their time has come."""
        return self.filter(status=JobStatus.QUEUED)

    def picked(self) -> Self:
        """Those that a worker runs."""
        return self.filter(status=JobStatus.PICKED)

    def due(self) -> Self:
        """Those whose time has come."""
        return self.filter(execute_after__lte=Now())

    def deferred(self) -> Self:
        """Those whose time has not come."""
        return self.filter(execute_after__gt=Now())

    def for_entrypoint(self, *entrypoints: str) -> Self:
        """Those of one entrypoint, or of several."""
        return self.filter(entrypoint__in=entrypoints)

    def for_queue(self, *queues: str) -> Self:
        """Those of one queue, or of several."""
        return self.filter(queue__in=queues)

    def for_workflow(self, workflow_id: UUID) -> Self:
        """Those of a workflow."""
        return self.filter(workflow_id=workflow_id)

    def for_concurrency_key(self, *keys: str) -> Self:
        """Those that count together under a limit per key, of one key or of several."""
        return self.filter(concurrency_key__in=keys)

    def in_pick_order(self) -> Self:
        """Ordered as workers pick them: highest priority first, then first come."""
        return self.order_by("-priority", "id")

    @verb
    def cancel(self) -> dict[int, bool]:
        """Cancels them, as `pgq_orm_django.cancel` does; answers, for each, whether it is running."""
        return administration.cancel(chosen(self, "pk"), using=writer(self))

    acancel = awaited(cancel)


class LogQuerySet(QuerySet["Log"]):
    """Attempts that have ended."""

    def successful(self) -> Self:
        """Those that ended well."""
        return self.filter(status=LogStatus.SUCCESSFUL)

    def failed(self) -> Self:
        """Those by which their job failed for good, unless it was requeued: the ones that `list_failed_jobs` lists."""
        return self.failed_attempts().final().filter(requeued_as=None)

    def failed_attempts(self) -> Self:
        """Those that ended in an exception, whether or not the job was tried again."""
        return self.filter(status=LogStatus.EXCEPTION)

    def canceled(self) -> Self:
        """Those that somebody cancelled, before or while they ran."""
        return self.filter(status=LogStatus.CANCELED)

    def retried(self) -> Self:
        """Those that ended in an exception after which the job was tried again."""
        return self.filter(retried=True)

    @verb
    def requeue(self, *, on_refused: OnRefused = "raise", force: bool = False) -> dict[int, int]:
        """Enqueues their jobs again, as `pgq_orm_django.requeue_jobs` does; answers the new id of each old one."""
        job_ids = chosen(self, "job_id")
        return administration.requeue_jobs(job_ids, on_refused=on_refused, force=force, using=writer(self))

    arequeue = awaited(requeue)

    def final(self) -> Self:
        """Those that were their job's last: one for each job that is done."""
        return self.filter(retried=False)

    def for_entrypoint(self, *entrypoints: str) -> Self:
        """Those of one entrypoint, or of several."""
        return self.filter(entrypoint__in=entrypoints)

    def for_queue(self, *queues: str) -> Self:
        """Those of one queue, or of several."""
        return self.filter(queue__in=queues)

    def for_workflow(self, workflow_id: UUID) -> Self:
        """Those of a workflow."""
        return self.filter(workflow_id=workflow_id)


class ScheduleQuerySet(QuerySet["Schedule"]):
    """Recurring jobs."""

    def active(self) -> Self:
        """Those that fire."""
        return self.filter(paused=False)

    def paused(self) -> Self:
        """Those that do not fire until they are resumed."""
        return self.filter(paused=True)

    def due(self) -> Self:
        """Those whose next tick has come."""
        return self.filter(next_run__lte=Now())

    @verb
    def pause(self) -> list[int]:
        """Lets them rest until they are resumed; answers their ids."""
        return administration.pause_schedule(chosen(self, "pk"), using=writer(self))

    @verb
    def resume(self) -> list[int]:
        """Lets them fire again, within a minute; answers their ids."""
        return administration.resume_schedule(chosen(self, "pk"), using=writer(self))

    @verb
    def run_now(self) -> dict[int, int | None]:
        """Enqueues their jobs beside their ticks; answers the job's id by schedule.

        None where the job of a tick before is still to be done.
        """
        return administration.run_schedule_now(chosen(self, "pk"), using=writer(self))

    apause, aresume, arun_now = awaited(pause), awaited(resume), awaited(run_now)

    def for_entrypoint(self, *entrypoints: str) -> Self:
        """Those of one entrypoint, or of several."""
        return self.filter(entrypoint__in=entrypoints)


IS_ALIVE = Q(
    heartbeat__gt=Now()
    - ExpressionWrapper(F("lease_seconds") * Value(timedelta(seconds=1)), output_field=DurationField())
)


class WorkerQuerySet(QuerySet["Worker"]):
    """Worker processes."""

    def alive(self) -> Self:
        """Those heard of within their lease."""
        return self.filter(IS_ALIVE)

    def dead(self) -> Self:
        """Those not heard of for longer than their lease; their jobs are for others to rescue."""
        return self.exclude(IS_ALIVE)

    def with_is_alive(self) -> Self:
        """Each with the claim `is_alive`, for listing both kinds."""
        return self.annotate(is_alive=ExpressionWrapper(IS_ALIVE, output_field=BooleanField()))


IS_PAUSED = Q(paused=True) & (Q(resume_at__isnull=True) | Q(resume_at__gt=Now()))


class QueueQuerySet(QuerySet["Queue"]):
    """Queues of which something is said."""

    def active(self) -> Self:
        """Those that are not paused, or whose pause is over."""
        return self.exclude(IS_PAUSED)

    def paused(self) -> Self:
        """Those that are paused now."""
        return self.filter(IS_PAUSED)

    def with_is_paused(self) -> Self:
        """Each with the claim `is_paused`, for listing both kinds."""
        return self.annotate(is_paused=ExpressionWrapper(IS_PAUSED, output_field=BooleanField()))

    @verb
    def pause(self, resume_at: ResumeAt = None) -> list[str]:
        """Pauses them until they are resumed, or until an instant, or for as long from now; answers their names.

        `pgq_orm_django.pause_queue` pauses queues that have no row as well.
        """
        return queues.pause_queue(chosen(self, "name"), resume_at=resume_at, using=writer(self))

    @verb
    def resume(self) -> list[str]:
        """Ends their pause; answers the names of those that were paused."""
        return queues.resume_queue(chosen(self, "name"), using=writer(self))

    apause, aresume = awaited(pause), awaited(resume)
