"""The questions one asks of the tables, as QuerySet verbs. Instants are compared with the database's clock."""

from datetime import timedelta
from typing import TYPE_CHECKING, Self

from django.db.models import BooleanField, DurationField, ExpressionWrapper, F, Q, QuerySet, Value
from django.db.models.functions import Now

from pgq_orm.statuses import JobStatus, LogStatus

if TYPE_CHECKING:
    from pgq_orm_django.models import Job, Log, Schedule, Worker  # noqa: F401 - named in strings below


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

    def in_pick_order(self) -> Self:
        """Ordered as workers pick them: highest priority first, then first come."""
        return self.order_by("-priority", "id")


class LogQuerySet(QuerySet["Log"]):
    """Attempts that have ended."""

    def successful(self) -> Self:
        """Those that ended well."""
        return self.filter(status=LogStatus.SUCCESSFUL)

    def failed(self) -> Self:
        """Those that ended in an exception, whether or not the job was tried again."""
        return self.filter(status=LogStatus.EXCEPTION)

    def canceled(self) -> Self:
        """Those that somebody cancelled, before or while they ran."""
        return self.filter(status=LogStatus.CANCELED)

    def retried(self) -> Self:
        """Those after which the job was tried again."""
        return self.filter(retried=True)

    def final(self) -> Self:
        """Those that were their job's last: one for each job that is done."""
        return self.filter(retried=False)

    def for_entrypoint(self, *entrypoints: str) -> Self:
        """Those of one entrypoint, or of several."""
        return self.filter(entrypoint__in=entrypoints)

    def for_queue(self, *queues: str) -> Self:
        """Those of one queue, or of several."""
        return self.filter(queue__in=queues)


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
