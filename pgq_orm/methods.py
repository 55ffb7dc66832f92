"""Methods: what can be asked of the queue, as methods for every class that can carry steps out, defined once."""

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import Parameter, signature
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from pgq_orm import administration, enqueueing, functions, orchestration, queues
from pgq_orm.enqueueing import AwaitedEnqueue, CalledEnqueue
from pgq_orm.steps import Awaiter, Caller, Steps, named

P = ParamSpec("P")
T = TypeVar("T")


class Method(Generic[P, T]):
    """A function that gives steps, as a method that carries them out: awaited on an Awaiter, called on a Caller.

    One definition, with one signature and one docstring, serves every class that can carry steps out.
    """

    def __init__(self, give_steps: Callable[P, Steps[T]]) -> None:
        self._give_steps = give_steps
        self._carry_out = _carrying_out(give_steps)

    @overload
    def __get__(self, owner: None, kind: type) -> Callable[P, Steps[T]]: ...

    @overload
    def __get__(self, owner: Awaiter, kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    @overload
    def __get__(self, owner: Caller, kind: type) -> Callable[P, T]: ...

    def __get__(self, owner: Awaiter | Caller | None, kind: type) -> object:
        if owner is None:
            return self._give_steps  # so that help() on the class finds the signature and the docstring
        return MethodType(self._carry_out, owner)


def _carrying_out(give_steps: Callable[P, Steps[T]]) -> Callable[..., object]:
    name = give_steps.__name__

    @wraps(give_steps)
    def method(self: Awaiter | Caller, *args: P.args, **kwargs: P.kwargs) -> object:
        return named(self._carry_out(give_steps(*args, **kwargs)), f"{type(self).__name__}.{name}")

    # Said here, for what is read off __wrapped__ has no `self` that could be taken away again.
    own = signature(give_steps)
    me = Parameter("self", Parameter.POSITIONAL_ONLY)
    method.__signature__ = own.replace(parameters=[me, *own.parameters.values()])  # type: ignore[attr-defined]
    return method


class EnqueueMethod:
    """`enqueue` as a Method, whose overloads a ParamSpec would lose."""

    @overload
    def __get__(self, owner: None, kind: type) -> Callable[..., Steps[list[int | None]]]: ...

    @overload
    def __get__(self, owner: Awaiter, kind: type) -> AwaitedEnqueue: ...

    @overload
    def __get__(self, owner: Caller, kind: type) -> CalledEnqueue: ...

    def __get__(self, owner: Awaiter | Caller | None, kind: type) -> object:
        return _ENQUEUE.__get__(owner, kind)


_ENQUEUE: Any = Method(enqueueing.enqueue)


class Administration:
    """What can be asked of the queue wherever steps can be carried out: awaited on an Awaiter, called on a Caller.

    The modules administration, orchestration and queues say of each what it answers, what it costs and what it raises.
    """

    enqueue = EnqueueMethod()
    """Adds one job, or many; answers their ids."""
    enqueue_each = Method(enqueueing.enqueue_each)
    """Adds each job of an iterable as it comes, a million without holding them; answers how many."""
    push = Method(functions.push)
    """Enqueues calls of functions by their importable paths; answers their ids."""
    mark_job_as_cancelled = Method(administration.mark_job_as_cancelled)
    """Cancels jobs: one that waits ends at once, a running one is asked to stop."""
    requeue_jobs = Method(administration.requeue_jobs)
    """Enqueues jobs that have ended again; answers the new id of each old one."""
    job_status = Method(administration.job_status)
    """The status of each job, in the order asked for; unknown ones are left out."""
    result = Method(administration.result)
    """What a job's handler returned."""
    list_failed_jobs = Method(administration.list_failed_jobs)
    """The jobs that ended as `exception`, the latest first, a page at a time."""

    enqueue_workflow = Method(orchestration.enqueue_workflow)
    """Adds the jobs of a workflow, all or none; answers their ids."""
    workflow_status = Method(orchestration.workflow_status)
    """Every job of a workflow, where it is in its life, and what it depends on."""
    cancel_workflow = Method(orchestration.cancel_workflow)
    """Cancels what is still to be done of a workflow."""
    retry_workflow = Method(orchestration.retry_workflow)
    """Enqueues the jobs of a workflow again that ended without success."""
    parents = Method(orchestration.parents)
    """The jobs that a job depends on, with what came of them."""

    queue_size = Method(administration.queue_size)
    """How many jobs are still to be done, by queue, entrypoint, priority and status."""
    queue_age = Method(administration.queue_age)
    """How long the jobs of each entrypoint have been waiting that could run now."""
    log_statistics = Method(administration.log_statistics)
    """How many attempts ended, by second, queue, entrypoint, priority and status."""
    active_workers = Method(administration.active_workers)
    """The worker processes that live, and how many jobs each runs."""
    clear_queue = Method(administration.clear_queue)
    """Cancels every job that no worker has picked; answers how many."""
    clear_queue_log = Method(administration.clear_queue_log)
    """Deletes log rows, with the results in them; answers how many."""

    fetch_schedules = Method(administration.fetch_schedules)
    """Every schedule in the database."""
    pause_schedule = Method(administration.pause_schedule)
    """Lets schedules rest until they are resumed; answers their ids."""
    resume_schedule = Method(administration.resume_schedule)
    """Lets schedules fire again; answers their ids."""
    run_schedule_now = Method(administration.run_schedule_now)
    """Enqueues the job of a schedule beside its ticks; answers the job's id by schedule."""
    delete_schedule = Method(administration.delete_schedule)
    """Removes schedules; answers their ids."""

    declare_queue = Method(queues.declare_queue)
    """Makes sure that queues have a row, with the settings that they begin with."""
    update_queue = Method(queues.update_queue)
    """Changes the limits of queues; running workers hear of it."""
    pause_queue = Method(queues.pause_queue)
    """Pauses queues until they are resumed, or until a time; answers their names."""
    resume_queue = Method(queues.resume_queue)
    """Ends the pause of queues; answers the names of those that were paused."""
    fetch_queues = Method(queues.fetch_queues)
    """The queues of which something is said in the database."""
    delete_queue = Method(queues.delete_queue)
    """Forgets what was said of queues; answers their names."""
