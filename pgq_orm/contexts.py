"""Contexts: which attempt the code that runs belongs to."""

from contextvars import ContextVar

from pgq_orm.errors import JobNotRunningError
from pgq_orm.models import Context

_current: ContextVar[Context] = ContextVar("pgq_orm_context")


def enter(context: Context) -> None:
    """Makes everything that this task goes on to do, in threads too, part of an attempt."""
    _current.set(context)


def current() -> Context | None:
    """The context of the attempt that this code is part of, None outside of handlers."""
    return _current.get(None)


def get_context(job_id: int) -> Context:
    """The context of the job whose handler calls this, in async and in sync code.

    Raises JobNotRunningError anywhere else.
    """
    context = current()
    if context is None or context.job.id != job_id:
        raise JobNotRunningError(job_id)
    return context
