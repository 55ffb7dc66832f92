"""Errors: each says what was found, what was expected and what to do."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches


class PgqError(Exception):
    """Every error that pgq-orm raises on purpose."""


class InvalidJobError(PgqError, ValueError):
    """What was asked to be enqueued cannot be stored as a job. Nothing was sent to the database."""


class DuplicateJobError(PgqError):
    """A job with one of the `dedupe_keys` is still to be done. None of the call's jobs was enqueued.

    The caller's transaction is unharmed and may go on.
    """

    def __init__(self, dedupe_keys: list[str], remedy: str) -> None:
        self.dedupe_keys = dedupe_keys
        super().__init__(f"dedupe_key already in use: {', '.join(map(repr, dedupe_keys))}; {remedy}")


class UnknownEntrypointError(PgqError, LookupError):
    """No handler is registered under the name."""

    def __init__(self, entrypoint: str, registered: Iterable[str], remedy: str) -> None:
        self.entrypoint = entrypoint
        names = sorted(registered)
        close = get_close_matches(entrypoint, names, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        known = ", ".join(map(repr, names)) or "none"
        super().__init__(f"no handler for entrypoint {entrypoint!r}: {guess}{remedy} (registered: {known})")


class JobNotFoundError(PgqError, LookupError):
    """There is no job of that id, neither to be done nor in the log."""

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        super().__init__(
            f"job {job_id} is not to be found: the transaction that enqueued it has not committed, or was rolled "
            "back, or the job ended so long ago that its log row is gone; commit before asking from elsewhere"
        )


class JobNotRunningError(PgqError, LookupError):
    """The job has no context here, because it does not run here."""

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        super().__init__(
            f"job {job_id} has no context here: only its own handler can ask for it while it runs, in the process of "
            "the worker; a handler may also have a parameter annotated with Context"
        )


class JobNotFinishedError(PgqError):
    """The job is still to be done, so nothing has come of it yet."""

    def __init__(self, job_id: int, status: str) -> None:
        self.job_id = job_id
        self.status = status
        super().__init__(
            f"job {job_id} has not ended, it is {status}: ask again later, or wait for it: wait_for(job_id, timeout)"
        )


class JobFailedError(PgqError):
    """The job ended without a result."""

    def __init__(self, job_id: int, status: str, error: str | None) -> None:
        self.job_id = job_id
        self.status = status
        """How it ended: `exception` or `canceled`."""
        self.error = error
        """What the handler raised, in one line."""
        super().__init__(
            f"job {job_id} has no result, it ended as {status}"
            + (f" by {error}" if error else "")
            + "; list_failed_jobs() shows the traceback of one that failed, requeue_jobs() runs it again"
        )


class CompletionTimeoutError(PgqError, TimeoutError):
    """The job did not end in the time that the caller gave it. It goes on."""

    def __init__(self, job_id: int, status: str | None, seconds: float) -> None:
        self.job_id = job_id
        self.status = status
        """Its status when last seen, None if it was not seen."""
        found = f"it is {status}" if status else "it was not seen"
        super().__init__(f"job {job_id} has not ended within {seconds:g} s: {found}; it goes on, wait again")


class DrainLimitError(PgqError):
    """A test's drain made as many attempts as it may, and there were still jobs."""

    def __init__(self, limit: int, entrypoint: str) -> None:
        super().__init__(
            f"drain() has made {limit} attempts and there are still jobs, the next one of {entrypoint!r}: does a "
            "handler snooze, ask for a retry or enqueue its own job for ever? If there are that many, pass limit="
        )


class RequeueRefusedError(PgqError, ValueError):
    """Some of the jobs cannot be enqueued again, so none of the call's was."""

    def __init__(self, refusals: Mapping[int, str]) -> None:
        self.refusals = dict(refusals)
        """Why, by the job's id."""
        named = list(self.refusals.items())[:10]
        reasons = "; ".join(f"job {job_id} {reason}" for job_id, reason in named)
        if others := len(self.refusals) - len(named):
            reasons += f"; and {others} more"
        super().__init__(
            f'nothing was requeued: {reasons} (on_refused="skip" leaves such jobs out; force=True runs again, too, '
            "what has been run again and has ended)"
        )


class UnknownScheduleError(PgqError, LookupError):
    """No schedule of that id or entrypoint is in the database."""

    def __init__(self, schedule: int | str, known: Iterable[str]) -> None:
        self.schedule = schedule
        names = sorted(set(known))
        close = get_close_matches(str(schedule), names, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        listed = ", ".join(map(repr, names)) or "none"
        super().__init__(
            f"no schedule {schedule!r} in the database: {guess}a worker adds the ones of its application when it "
            f"starts, a test adds the row itself (known: {listed})"
        )


class InvalidQueueError(PgqError, ValueError):
    """What was said of a queue cannot be stored. Nothing was sent to the database."""


class UnknownQueueError(PgqError, LookupError):
    """The queue has no row whose settings could be changed."""

    def __init__(self, queue: str, known: Iterable[str]) -> None:
        self.queue = queue
        names = sorted(known)
        close = get_close_matches(queue, names, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        listed = ", ".join(map(repr, names[:20])) or "none"
        super().__init__(
            f"queue {queue!r} has no settings that could be changed: {guess}declare_queue(Queue({queue!r}, …)) gives "
            f"it some (known: {listed}{', …' if len(names) > 20 else ''})"
        )


class FunctionNotAllowedError(PgqError):
    """A job names a function that this worker does not let itself be told to call."""

    def __init__(self, func: str, reason: str) -> None:
        self.func = func
        super().__init__(f"function {func!r} is not allowed: {reason}")


class UpdateRefusedError(PgqError, ValueError):
    """An executor said of a job what it may not say, or no longer. Nothing is kept of it."""


class WorkflowError(PgqError, ValueError):
    """A workflow cannot be put together as it was asked for. None of its jobs was enqueued."""


class WorkflowNotFoundError(PgqError, LookupError):
    """There is no job of that workflow, neither to be done nor in the log."""

    def __init__(self, workflow_id: object) -> None:
        self.workflow_id = workflow_id
        super().__init__(
            f"workflow {workflow_id} is not to be found: the transaction that enqueued it has not committed, or was "
            "rolled back, or it ended so long ago that its log rows are gone; commit before asking from elsewhere"
        )


class WorkflowTimeoutError(PgqError, TimeoutError):
    """The workflow did not end in the time that the caller gave it. It goes on."""

    def __init__(self, workflow_id: object, state: str | None, seconds: float) -> None:
        self.workflow_id = workflow_id
        self.state = state
        """When last seen, None if it was not seen."""
        found = f"it is {state}" if state else "it was not seen"
        super().__init__(
            f"workflow {workflow_id} has not ended within {seconds:g} s: {found}; it goes on, wait again"
        )


class UnknownParentError(PgqError, KeyError):
    """A job does not depend on the one that was asked for."""

    def __init__(self, key: int | str, known: Iterable[str]) -> None:
        self.key = key
        names = list(known)
        close = get_close_matches(str(key), names, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        super().__init__(
            f"this job does not depend on {key!r}: {guess}it depends on {', '.join(map(repr, names)) or 'none'}"
        )

    def __str__(self) -> str:  # KeyError's would put quotes around it
        return str(self.args[0])


class RegistrationError(PgqError, ValueError):
    """An entrypoint or a schedule was declared in a way that cannot work."""


class NotInjectedError(PgqError, AttributeError):
    """A task was called directly, without a value for a parameter that only a worker fills."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} was looked for on INJECTED: a worker puts a value in its place, and whoever calls the function "
            "directly must pass one"
        )


class SessionError(PgqError, TypeError):
    """What was given as a session or connection cannot carry a statement of the queue."""


class SchemaError(PgqError):
    """The database's pgq-orm tables are not the ones that this release works with."""


class SchemaVersionError(PgqError, ValueError):
    """A schema version was asked for that does not exist."""


class FailingListenerError(PgqError):
    """A worker that was told not to go on without wake-ups cannot listen; the driver's exception is the cause."""

    def __init__(self) -> None:
        super().__init__(
            "the worker cannot listen for wake-ups, and has ended because of shutdown_on_listener_failure=True: LISTEN "
            "needs a connection of its own, which a pooler in transaction mode does not give; without that option the "
            "worker polls every dequeue_timeout"
        )


class FactoryError(PgqError):
    """The worker's factory could not be found, or did not give a PgQueuer."""


class TransactionAborted(PgqError):  # noqa: N818 - what happened to the handler's transaction
    """A handler returned after an error that it caught had aborted its session's transaction."""


class CommitRefused(PgqError):  # noqa: N818 - what happened, and not in the handler's power
    """A transactional handler tried to commit by itself, apart from the end of its job."""


class FlagError(PgqError, ValueError):
    """A command was given flags that cannot be obeyed."""


class ProcessesFailed(PgqError):  # noqa: N818 - what happened; the message is the process's own
    """None of the supervised processes got to work; the message is what the first of them said."""


class ProbeError(PgqError):
    """The probe cannot listen where it was told to."""


class LeaseLost(PgqError):  # noqa: N818 - a fact about the job rather than a fault of the caller
    """The job was given to another worker; whatever this one still does for it must not be kept."""


class RetryException(PgqError):  # noqa: N818 - the names are PgQueuer's
    """An executor that tries again within the process has given up; the handler's last exception is the cause."""


class MaxRetriesExceeded(RetryException):
    """All attempts that the executor makes have failed."""


class MaxTimeExceeded(RetryException):
    """The time that the executor has for all its attempts is over."""


class ProcessCrashed(PgqError):  # noqa: N818 - what happened, not a fault of the caller
    """The process in which a handler ran ended before the handler did; the message has its exit code or signal."""


class CommandFailed(PgqError):  # noqa: N818 - what happened, not a fault of the caller
    """A command ended with an exit code other than 0, or by a signal; the message ends with what it said last."""


class RemoteError(PgqError):
    """Stands for an exception of a handler in another process or interpreter, which cannot be brought here."""


def in_one_line(error: BaseException) -> str:
    """The kind and the message of any exception."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # an exception whose own __str__ fails
        return type(error).__name__
