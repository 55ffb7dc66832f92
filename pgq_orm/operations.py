"""Operations: everything the queue asks of a database, as values. No I/O and no clock in here."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar, Unpack, cast
from uuid import UUID

from pgq_orm.errors import DuplicateJobError, InvalidJobError
from pgq_orm.limits import Limit
from pgq_orm.models import Job, Unreadable, job_of
from pgq_orm.sql import Statement, statement
from pgq_orm.statuses import JobStatus, OnFailure

T = TypeVar("T")
Row: TypeAlias = Sequence[Any]
OnConflict: TypeAlias = Literal["raise", "skip", "update"]
ExecuteAfter: TypeAlias = timedelta | datetime | None
JsonObject: TypeAlias = Mapping[str, Any]
Many: TypeAlias = T | Sequence[T]
"""One value for all jobs of a call, or a list with one for each."""

DEFAULT_QUEUE = "default"
ENQUEUE_BATCH = 1000
"""How many jobs one statement adds at the most: larger arrays gain nothing and hold their memory."""
NAME_LENGTH = 500
"""Characters in an entrypoint, a queue or a key."""
INDEXED_BYTES = 800
"""Bytes in an entrypoint, a queue or a concurrency_key: an index entry (2,704 bytes) must hold all three of them."""
LONGEST_DELAY = timedelta(days=366 * 100)
YEARS = range(1900, 9001)
"""Drivers cannot read every instant that PostgreSQL stores, and a job that cannot be read would block its queue."""

_REPETITIVE = frozenset(("entrypoint", "priority", "execute_after", "queue", "max_attempts"))
"""Columns in which a thousand jobs have a few different values: each is checked once."""
_PLAIN_PAYLOADS = frozenset((bytes, type(None)))

_BIGINT = range(-(2**63), 2**63)
_JSON_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One statement to be executed, and how to read what it answers."""

    statement: Statement
    params: Mapping[str, Any]
    read: Callable[[Sequence[Row]], T]


# Enqueueing


class Added(NamedTuple):
    """A row that an insert added or replaced; without an id it is a job that runs and was left alone."""

    id: int | None
    dedupe_key: str | None
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Enqueue:
    """The wish to add jobs: first run `inserts`, then the withdrawal if there is one, then ask for the answer."""

    inserts: tuple[Operation[list[Added]], ...]
    dedupe_keys: tuple[str | None, ...]
    on_conflict: OnConflict
    parent_ids: tuple[int, ...] = ()
    """The jobs that must end before these may run."""
    on_failure: OnFailure = "cancel"

    def withdrawal(self, added: Sequence[Added]) -> Operation[None] | None:
        """What takes the new rows back if some job is missing and none may be: all or nothing."""
        if self.on_conflict == "skip" or len(added) == len(self.dedupe_keys):
            return None
        new = [row.id for row in added if row.is_new]
        if not new:
            return None
        return withdraw([job_id for job_id in new if job_id is not None])

    def answer(self, added: Sequence[Added]) -> list[int | None]:
        """The id of each job in the order asked for, None where a duplicate was skipped.

        Raises DuplicateJobError when a job is missing that may not be.
        """
        if not any(self.dedupe_keys):
            return [row.id for row in added]
        ids_by_key = {row.dedupe_key: row.id for row in added if row.dedupe_key is not None}
        ids_without_key = iter([row.id for row in added if row.dedupe_key is None])
        answer: list[int | None] = [
            # pop: of two equal keys in one call the first was added, the second is the duplicate
            next(ids_without_key, None) if key is None else ids_by_key.pop(key, None)
            for key in self.dedupe_keys
        ]
        if self.on_conflict == "skip" or None not in answer:
            return answer
        missing = [key for key, job_id in zip(self.dedupe_keys, answer, strict=True) if job_id is None]
        if self.on_conflict == "raise":
            raise DuplicateJobError(
                cast(list[str], missing),
                'pass on_conflict="skip" to leave such jobs out, or "update" to replace the one that waits',
            )
        running = list(dict.fromkeys(row.dedupe_key for row in added if row.id is None))
        raise DuplicateJobError(
            cast(list[str], running or missing),
            "a worker has already picked that job, so it can no longer be updated",
        )


class EnqueueOptions(TypedDict, total=False):
    """What else may be said of a job."""

    arguments: Many[JsonObject | None]
    """JSON in place of a payload of bytes."""
    queue: Many[str]
    max_attempts: Many[int | None]
    """How many attempts may end badly, crashes of the worker included; None leaves it to the entrypoint."""
    concurrency_key: Many[str | None]
    """Jobs with the same key count together, where the entrypoint has a `concurrency_limit_per_key`."""
    depends_on: int | Iterable[int]
    """The ids of jobs that must end before any job of the call may run; they may have ended already."""
    on_failure: OnFailure
    """What becomes of the call's jobs if one of those fails."""


def enqueue(
    entrypoint: Many[str],
    payload: Many[bytes | None] = None,
    priority: Many[int] = 0,
    execute_after: Many[ExecuteAfter] = None,
    dedupe_key: Many[str | None] = None,
    headers: Many[JsonObject | None] = None,
    *,
    on_conflict: OnConflict = "raise",
    **options: Unpack[EnqueueOptions],
) -> Enqueue:
    """One job, or as many as the lists among the parameters are long; what is not a list holds for all of them.

    A higher `priority` is picked first. `execute_after` is a timedelta from the database's now, or an aware
    datetime. While a job with the same `dedupe_key` is still to be done, `on_conflict` says what to do: "raise"
    DuplicateJobError and add none of the call's jobs, "skip" it and answer None in its place, or "update" the job
    that waits. None of them harms the caller's transaction: everything that PostgreSQL would refuse is refused
    here, as InvalidJobError.
    """
    if unknown := options.keys() - EnqueueOptions.__annotations__.keys():
        raise TypeError(f"enqueue() got an unexpected keyword argument: {', '.join(sorted(unknown))}")
    if on_conflict not in ("raise", "skip", "update"):
        raise InvalidJobError(f"on_conflict must be 'raise', 'skip' or 'update', not {on_conflict!r}")
    columns: dict[str, Any] = {
        "entrypoint": entrypoint,
        "payload": payload,
        "priority": priority,
        "execute_after": execute_after,
        "dedupe_key": dedupe_key,
        "headers": headers,
        "arguments": options.get("arguments"),
        "queue": options.get("queue", DEFAULT_QUEUE),
        "max_attempts": options.get("max_attempts"),
        "concurrency_key": options.get("concurrency_key"),
    }
    parent_ids = _parent_ids(options.get("depends_on", ()))
    on_failure = options.get("on_failure", "cancel")
    check("on_failure", on_failure)
    count = _count(columns)
    values = {
        name: _checked(name, value) if _is_list(value) else _CHECKS[name](name, value)
        for name, value in columns.items()
    }
    dedupe_keys = tuple(_each(values["dedupe_key"], count))
    has_keys = any(key is not None for key in dedupe_keys)
    if not has_keys and not any(map(_is_list, values.values())):
        inserts: tuple[Operation[list[Added]], ...] = (
            Operation(statement("enqueue_one"), _one_jobs_params(values), _added_without_key),
        )
    elif not has_keys:
        inserts = _inserts("enqueue_keyless", values, count, {}, _added_without_key)
    elif on_conflict == "update":
        _refuse_repeated(dedupe_keys)
        claimed = {"claimed_keys": [key for key in dedupe_keys if key is not None]}
        inserts = _inserts("enqueue_update", values, count, claimed, _added)
    else:
        inserts = _inserts("enqueue", values, count, {}, _added)
    return Enqueue(inserts, dedupe_keys, on_conflict, parent_ids, on_failure)


def depend(job_ids: Sequence[int], parent_ids: Sequence[int], on_failure: OnFailure) -> Operation[None]:
    """Lets jobs that no worker has picked wait for others, each for all of them."""
    params = {"ids": list(job_ids), "parent_ids": list(parent_ids), "on_failure": on_failure}
    return Operation(statement("depend"), params, _nothing)


def find_jobs(job_ids: Sequence[int]) -> Operation[set[int]]:
    """Which of these jobs there are, to be done or in the log."""
    return Operation(statement("read_statuses"), {"ids": list(job_ids)}, _ids)


def enqueue_params(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The parameters that say of jobs what an enqueuer may say, from a list for each column.

    Raises InvalidJobError for what cannot be stored.
    """
    return _params({name: _checked(name, column) for name, column in columns.items()}, 0, _count(columns))


def withdraw(job_ids: Sequence[int]) -> Operation[None]:
    """Takes back jobs that the same transaction has just added."""
    return Operation(statement("withdraw"), {"ids": list(job_ids)}, _nothing)


def _inserts(
    name: str,
    values: Mapping[str, Any],
    count: int,
    further: Mapping[str, Any],
    read: Callable[[Sequence[Row]], list[Added]],
) -> tuple[Operation[list[Added]], ...]:
    return tuple(
        Operation(
            statement(name), {**_params(values, start, min(start + ENQUEUE_BATCH, count)), **further}, read
        )
        for start in range(0, count, ENQUEUE_BATCH)
    )


def _one_jobs_params(values: Mapping[str, Any]) -> dict[str, Any]:
    time = values["execute_after"]
    return {
        "queue": values["queue"],
        "entrypoint": values["entrypoint"],
        "priority": values["priority"],
        "execute_at": time if isinstance(time, datetime) else None,
        "delay_seconds": time.total_seconds() if isinstance(time, timedelta) else 0.0,
        "payload": values["payload"],
        "arguments": values["arguments"],
        "headers": values["headers"],
        "max_attempts": values["max_attempts"],
        "concurrency_key": values["concurrency_key"],
    }


def _params(values: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    # What is the same for all jobs is sent once, or not at all: drivers and server spend most of their time on arrays.

    def given(name: str) -> list[Any]:
        value = values[name]
        return [] if value is None else _each(value, stop - start, start)

    def shared(name: str) -> list[Any]:
        value = values[name]
        return value[start:stop] if _is_list(value) else [value]

    times = given("execute_after")
    return {
        "queues": shared("queue"),
        "entrypoints": shared("entrypoint"),
        # in full, for it tells how many jobs there are
        "priorities": _each(values["priority"], stop - start, start),
        "execute_ats": [time if isinstance(time, datetime) else None for time in times],
        "delays_seconds": [time.total_seconds() if isinstance(time, timedelta) else 0.0 for time in times],
        "payloads": given("payload"),
        "arguments": given("arguments"),
        "headers": given("headers"),
        "dedupe_keys": given("dedupe_key"),
        "max_attempts": given("max_attempts"),
        "concurrency_keys": given("concurrency_key"),
    }


def _each(value: Any, count: int, start: int = 0) -> list[Any]:
    """A value for each of `count` jobs: from a list that has one for each of all jobs, or the same for all."""
    return value[start : start + count] if _is_list(value) else [value] * count


def check(column: str, value: object) -> None:
    """Refuse what cannot be stored in a column that an application fills. Raises InvalidJobError."""
    _CHECKS[column](column, value)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _count(columns: Mapping[str, Any]) -> int:
    lengths = {name: len(value) for name, value in columns.items() if _is_list(value)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise InvalidJobError(
            f"lists of different lengths ({found}): give one entry for each job in every list"
        )
    return next(iter(lengths.values()), 1)


def _checked(name: str, values: Sequence[Any]) -> list[Any]:
    check = _CHECKS[name]
    if name == "payload" and set(map(type, values)) <= _PLAIN_PAYLOADS:
        return list(values)
    if name not in _REPETITIVE:
        return [check(name, value) for value in values]
    # By type as well: True equals 1, and is refused.
    pairs = list(zip(map(type, values), values, strict=True))
    try:
        checked = {pair: check(name, pair[1]) for pair in dict.fromkeys(pairs)}
    except TypeError:  # something unhashable, which the check refuses
        return [check(name, value) for value in values]
    return [checked[pair] for pair in pairs]


def _checked_name(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidJobError(f"{name} must be a string, not {type(value).__name__}: {value!r}")
    if not 0 < len(value) <= NAME_LENGTH:
        raise InvalidJobError(
            f"{name} must have 1 to {NAME_LENGTH} characters, not {len(value)}: {value[:80]!r}"
        )
    if "\0" in value or not _is_encodable(value):
        raise InvalidJobError(
            f"{name} holds a character that PostgreSQL cannot store (NUL or a lone surrogate): {value!r}"
        )
    if name != "dedupe_key" and len(value) * 4 > INDEXED_BYTES < (size := len(value.encode())):
        raise InvalidJobError(
            f"{name} must have at most {INDEXED_BYTES} bytes in UTF-8, not {size}: {value[:80]!r}"
        )
    return str.__str__(value)  # plain, also for a StrEnum's member: drivers refuse arrays of mixed types


def _checked_optional_name(name: str, value: Any) -> str | None:
    return None if value is None else _checked_name(name, value)


def _checked_payload(name: str, value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise InvalidJobError(
        f"{name} must be bytes or None, not {type(value).__name__}: encode it, "
        "or pass arguments={...} to have it stored as JSON"
    )


def _checked_priority(name: str, value: Any) -> int:
    if not _is_integer(value):
        raise InvalidJobError(
            f"{name} must be an integer of 32 bits, not {value!r}; a higher one is picked first"
        )
    return int(value)


def _checked_max_attempts(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if not _is_integer(value) or value < 1:
        raise InvalidJobError(f"{name} must be a positive integer or None, not {value!r}")
    return int(value)


def _checked_on_failure(name: str, value: Any) -> OnFailure:
    if value not in ("cancel", "ignore", "wait"):
        raise InvalidJobError(f"{name} must be 'cancel', 'ignore' or 'wait', not {value!r}")
    return cast(OnFailure, value)


def _parent_ids(depends_on: Any) -> tuple[int, ...]:
    parent_ids = tuple(depends_on) if isinstance(depends_on, Iterable) else (depends_on,)
    for parent_id in parent_ids:
        check_id(parent_id)
    return tuple(dict.fromkeys(parent_ids))


def check_id(job_id: object) -> None:
    """Raises InvalidJobError for what is no id: PostgreSQL's own error would take the caller's transaction along."""
    if not isinstance(job_id, int) or isinstance(job_id, bool) or job_id not in _BIGINT:
        hint = ' (enqueue answers None for what on_conflict="skip" left out)' if job_id is None else ""
        raise InvalidJobError(f"a job's id must be an integer of 64 bits, not {job_id!r}{hint}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31


def _checked_execute_after(name: str, value: Any) -> ExecuteAfter:
    if value is None:
        return None
    if isinstance(value, timedelta):
        if abs(value) > LONGEST_DELAY:
            raise InvalidJobError(f"{name} lies more than a hundred years away: {value}")
        return value
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidJobError(
                f"{name} is a naive datetime ({value.isoformat()}): give it a time zone, "
                "for example datetime.now(timezone.utc), or pass a timedelta"
            )
        if value.year not in YEARS:
            raise InvalidJobError(
                f"{name} lies outside of the years {YEARS.start} to {YEARS.stop - 1}: {value.isoformat()}"
            )
        return value
    raise InvalidJobError(f"{name} must be a timedelta, an aware datetime or None, not {value!r}")


def _checked_json_object(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidJobError(f"{name} must be a mapping with string keys, or None, not {value!r}")
    try:
        return dump_json(dict(value))
    except ValueError as error:
        raise InvalidJobError(f"{name} cannot be stored as JSON: {error}") from error


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "entrypoint": _checked_name,
    "payload": _checked_payload,
    "priority": _checked_priority,
    "execute_after": _checked_execute_after,
    "dedupe_key": _checked_optional_name,
    "headers": _checked_json_object,
    "arguments": _checked_json_object,
    "queue": _checked_name,
    "max_attempts": _checked_max_attempts,
    "concurrency_key": _checked_optional_name,
    "resume_at": _checked_execute_after,
    "name": _checked_optional_name,
    "on_failure": _checked_on_failure,
}


def dump_json(value: object) -> str:
    """The value as JSON that `jsonb` takes. Raises ValueError that says why it is none."""
    try:
        # check_circular stays on: its ValueError is better than a RecursionError
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not _is_encodable(text):
        raise ValueError("a string holds a lone surrogate, which is no character")
    if _JSON_NUL.search(text):
        raise ValueError("a string holds the character NUL (\\u0000)")
    return text


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_repeated(keys: Sequence[str | None]) -> None:
    given = [key for key in keys if key is not None]
    repeated = {key for key in given if given.count(key) > 1} if len(set(given)) < len(given) else ()
    if repeated:
        raise InvalidJobError(
            f"dedupe_key given twice in one call: {', '.join(map(repr, sorted(repeated)))}; "
            'with on_conflict="update" each key may occur once'
        )


# Working


class Outcome(NamedTuple):
    """How an attempt ended for good, as `finish.sql` writes it."""

    id: int
    lease: int
    status: str
    wait_seconds: float
    duration_seconds: float
    result: str | None = None
    error: str | None = None
    traceback: str | None = None


class FailedAttempt(NamedTuple):
    """How an attempt ended that is to be made again, as `retry.sql` writes it."""

    id: int
    lease: int
    delay_seconds: float
    duration_seconds: float
    error: str
    traceback: str


class Release(NamedTuple):
    """A job that is given back as if it had not been picked, to be picked again after the delay."""

    id: int
    lease: int
    delay_seconds: float = 0.0


class Lease(NamedTuple):
    """A worker's right to a job."""

    id: int
    lease: int


class Settled(NamedTuple):
    """An attempt about which nothing is to be written: it has ended in its handler's transaction, or elsewhere."""

    id: int
    lease: int


Ended: TypeAlias = Outcome | FailedAttempt | Release | Settled
"""How an attempt ended: for good, to be made again, given back as if it had never begun, or by itself."""


class Notice(NamedTuple):
    """What a heartbeat learns: 'beaten', or 'canceling', 'lost' or 'returned' about one lease."""

    notice: str
    id: int | None
    lease: int | None


class Rescued(NamedTuple):
    """A job that was taken from a dead worker: queued again, or ended."""

    id: int
    is_queued: bool


class ScheduleRow(NamedTuple):
    """A schedule, and the database's clock at the time of reading."""

    id: int
    entrypoint: str
    expression: str
    timezone: str
    catch_up: str
    next_run: datetime
    last_run: datetime | None
    paused: bool
    clock: datetime


class Tick(NamedTuple):
    """A tick of a schedule: fires if the schedule still stands at `due`; one that is not kept only passes."""

    id: int
    due: datetime
    next_run: datetime
    is_kept: bool


class Stretch(NamedTuple):
    """A part of a queue's order: from one priority down to another, past an id."""

    highest_priority: int
    lowest_priority: int
    after_id: int


PRIORITIES = range(-(2**31), 2**31)
BEFORE_ALL_IDS = -(2**63)
WHOLE_QUEUE = (Stretch(PRIORITIES[-1], PRIORITIES[0], BEFORE_ALL_IDS),)


def pick(
    worker_id: UUID,
    queue: str,
    entrypoints: Sequence[str],
    batch_size: int,
    stretches: Sequence[Stretch] = WHOLE_QUEUE,
) -> Operation[list[Job]]:
    """Picks up to `batch_size` jobs, in the order in which they should start, from these stretches of a queue."""
    highest_priorities, lowest_priorities, after_ids = _columns(stretches)
    params = {
        "worker_id": worker_id,
        "queue": queue,
        "entrypoints": entrypoints,
        "batch_size": batch_size,
        "highest_priorities": highest_priorities,
        "lowest_priorities": lowest_priorities,
        "after_ids": after_ids,
    }
    return Operation(statement("pick"), params, _picked)


def has_ready(queue: str, entrypoints: Sequence[str]) -> Operation[bool]:
    """Whether a look into the queue would find something, asked without walking over the jobs of others."""
    return Operation(statement("has_ready"), {"queue": queue, "entrypoints": entrypoints}, _scalar)


class Verdict(StrEnum):
    """Why a worker was given no more jobs of a limited entrypoint; the more urgent to look again, the earlier."""

    OPEN = "open"
    """Others are ready, and would have been given to a worker with more room."""
    BUSY = "busy"
    """Another worker was being answered."""
    THROTTLED = "throttled"
    """As many have started as may; the next one may after the wait."""
    FULL = "full"
    """As many run as may."""
    EMPTY = "empty"
    """No other is ready."""


class Hold(NamedTuple):
    """What holds back the ready jobs of a limited entrypoint that were not picked."""

    verdict: Verdict
    wait_seconds: float | None = None


class LimitedPick(NamedTuple):
    """What a look at limited entrypoints came to."""

    jobs: list[Job]
    holds: dict[str, Hold]
    """One for each entrypoint asked for."""


def pick_limited(
    worker_id: UUID, queues: Sequence[str], limits: Mapping[str, Limit], batch_size: int
) -> Operation[LimitedPick]:
    """Picks up to `batch_size` jobs of entrypoints with limits, as far as these allow among all workers.

    Jobs come from the first of the queues that has some, and from entrypoints in the order given.
    """
    buckets = [limit.bucket for limit in limits.values()]
    params = {
        "worker_id": worker_id,
        "queues": list(queues),
        "entrypoints": list(limits),
        "concurrency_limits": [limit.concurrency for limit in limits.values()],
        "key_limits": [limit.per_key for limit in limits.values()],
        "capacities": [bucket and bucket.capacity for bucket in buckets],
        "refills": [bucket and bucket.refill for bucket in buckets],
        "batch_size": batch_size,
    }
    return Operation(statement("pick_limited"), params, _limited_pick)


def find_ready_queues(queues: Sequence[str]) -> Operation[list[str]]:
    """Which of these queues have jobs that are ready, in the order given."""
    return Operation(statement("find_ready_queues"), {"queues": list(queues)}, _names)


def promote(batch_size: int, *, announce: bool = False) -> Operation[float | None]:
    """Makes deferred jobs ready whose time has come, and announces them to all workers if asked to.

    Answers the seconds until the next one is due: 0 if some have just been made ready, None if none is deferred.
    """
    return Operation(statement("promote"), {"batch_size": batch_size, "announce": announce}, _scalar)


def finish(outcomes: Sequence[Outcome]) -> Operation[set[int]]:
    """Ends attempts for good; answers the ids whose lease still stood."""
    # In one order: who locks several jobs must never wait in a circle with another who does.
    in_order = sorted(outcomes, key=attrgetter("id"))
    ids, leases, statuses, waits, durations, results, errors, tracebacks = _columns(in_order)
    params = {
        "ids": ids,
        "leases": leases,
        "statuses": statuses,
        "waits_seconds": waits,
        "durations_seconds": durations,
        "results": results,
        "errors": errors,
        "tracebacks": tracebacks,
    }
    return Operation(statement("finish"), params, _ids)


def retry(worker_id: UUID, attempts: Sequence[FailedAttempt]) -> Operation[set[int]]:
    """Queues jobs again after a failed attempt; answers the ids whose lease still stood."""
    ids, leases, delays, durations, errors, tracebacks = _columns(attempts)
    params = {
        "worker_id": worker_id,
        "ids": ids,
        "leases": leases,
        "delays_seconds": delays,
        "durations_seconds": durations,
        "errors": errors,
        "tracebacks": tracebacks,
    }
    return Operation(statement("retry"), params, _ids)


def release(jobs: Sequence[Release]) -> Operation[set[int]]:
    """Gives jobs back unharmed; answers the ids whose lease still stood."""
    ids, leases, delays = _columns(jobs)
    return Operation(statement("release"), {"ids": ids, "leases": leases, "delays_seconds": delays}, _ids)


def read_ending(lease: Lease) -> Operation[bool | None]:
    """Whether an attempt has ended; None while an open transaction, which may be about to end it, holds the job."""
    return Operation(statement("read_ending"), lease._asdict(), _scalar)


def cancel(job_ids: Sequence[int]) -> Operation[dict[int, bool]]:
    """Cancels jobs; answers, for each that was found, whether it was running and was asked to stop."""
    return Operation(statement("cancel"), {"ids": list(job_ids)}, _running_by_id)


def register_worker(
    worker_id: UUID,
    *,
    lease_seconds: float,
    pid: int,
    hostname: str,
    queues: Sequence[str],
    entrypoints: Sequence[str],
) -> Operation[None]:
    """Tells that a worker lives."""
    params = {
        "worker_id": worker_id,
        "lease_seconds": lease_seconds,
        "pid": pid,
        "hostname": hostname,
        "queues": list(queues),
        "entrypoints": list(entrypoints),
    }
    return Operation(statement("register_worker"), params, _nothing)


def unregister_worker(worker_id: UUID) -> Operation[None]:
    """Tells that a worker has ended."""
    return Operation(statement("unregister_worker"), {"worker_id": worker_id}, _nothing)


def beat(worker_id: UUID, leases: Sequence[Lease], *, unheld_seconds: float) -> Operation[list[Notice]]:
    """Keeps a worker alive, names the leases it holds, and answers what it must know about them."""
    params = {"worker_id": worker_id, "unheld_seconds": unheld_seconds, **_lease_params(leases)}
    return Operation(statement("beat"), params, _notices)


def rescue(*, crash_limit: int, batch_size: int) -> Operation[list[Rescued]]:
    """Takes back the jobs of dead workers; a job ends after `crash_limit` attempts unless it has its own limit."""
    return Operation(statement("rescue"), {"crash_limit": crash_limit, "batch_size": batch_size}, _rescued)


def prune(*, retention: timedelta, batch_size: int) -> Operation[int]:
    """Removes up to `batch_size` of the oldest log rows, those older than `retention`; answers how many."""
    params = {"retention_seconds": retention.total_seconds(), "batch_size": batch_size}
    return Operation(statement("prune"), params, _scalar)


def register_schedules(rows: Sequence[tuple[str, str, str, str, str, datetime]]) -> Operation[None]:
    """Makes sure that schedules exist: (entrypoint, expression, timezone, catch_up, queue, next_run) each."""
    entrypoints, expressions, timezones, catch_ups, queues, next_runs = _columns(rows)
    params = {
        "entrypoints": entrypoints,
        "expressions": expressions,
        "timezones": timezones,
        "catch_ups": catch_ups,
        "queues": queues,
        "next_runs": next_runs,
    }
    return Operation(statement("register_schedules"), params, _nothing)


def clean_schedules(declared: Sequence[tuple[str, str]]) -> Operation[list[tuple[str, str]]]:
    """Removes the other schedules of these entrypoints; (entrypoint, expression) each, as it answers the removed."""
    entrypoints, expressions = _columns(declared)
    params = {"entrypoints": entrypoints, "expressions": expressions}
    return Operation(statement("clean_schedules"), params, _pairs)


def read_schedules(entrypoints: Sequence[str]) -> Operation[list[ScheduleRow]]:
    """The schedules with these names."""
    return Operation(statement("read_schedules"), {"entrypoints": list(entrypoints)}, _schedule_rows)


def fire(ticks: Sequence[Tick]) -> Operation[dict[int, int | None]]:
    """Fires schedules; answers the job's id for each that fired, None if the job before is still to be done."""
    ids, dues, next_runs, are_kept = _columns(ticks)
    params = {"ids": ids, "dues": dues, "next_runs": next_runs, "are_kept": are_kept}
    return Operation(statement("fire"), params, _job_ids_by_schedule)


def has_version() -> Operation[bool]:
    """Whether the database has a schema version to read."""
    return Operation(statement("has_version"), {}, _scalar)


def read_version() -> Operation[int | None]:
    """The installed version of the schema, None if the tables are there but nobody installed them."""
    return Operation(statement("read_version"), {}, _scalar)


def read_clock() -> Operation[datetime]:
    """The database's clock."""
    return Operation(statement("read_clock"), {}, _scalar)


# Testing


def list_jobs(entrypoint: str | None, limit: int) -> Operation[list[Job]]:
    """The jobs that are still to be done, of one entrypoint or of all, in the order in which they were enqueued."""
    return Operation(statement("list_jobs"), {"entrypoint": entrypoint, "limit": limit}, _listed)


def hasten(*, ahead: timedelta, entrypoints: Sequence[str], queues: Sequence[str]) -> Operation[bool]:
    """Makes the deferred job ready that is due next, if it is within this time; answers whether there was one."""
    params = {"ahead_seconds": ahead.total_seconds(), "entrypoints": entrypoints, "queues": queues}
    return Operation(statement("hasten"), params, _scalar)


# Reading


def _nothing(rows: Sequence[Row]) -> None:
    return None


def _scalar(rows: Sequence[Row]) -> Any:
    return rows[0][0]


def _ids(rows: Sequence[Row]) -> set[int]:
    return {row[0] for row in rows}


def _names(rows: Sequence[Row]) -> list[str]:
    return [row[0] for row in rows]


def _added(rows: Sequence[Row]) -> list[Added]:
    return [Added(*row) for row in rows]


def _added_without_key(rows: Sequence[Row]) -> list[Added]:
    return [Added(row[0], None) for row in rows]


def _running_by_id(rows: Sequence[Row]) -> dict[int, bool]:
    return {row[0]: row[1] for row in rows}


def _pairs(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in rows]


def _job_ids_by_schedule(rows: Sequence[Row]) -> dict[int, int | None]:
    return {row[0]: row[1] for row in rows}


def _notices(rows: Sequence[Row]) -> list[Notice]:
    return [Notice(*row) for row in rows]


def _rescued(rows: Sequence[Row]) -> list[Rescued]:
    return [Rescued(job_id, is_queued) for job_id, is_queued, _ in rows if job_id is not None]


def _schedule_rows(rows: Sequence[Row]) -> list[ScheduleRow]:
    return [ScheduleRow(*row) for row in rows]


_STATUS, _ARGUMENTS, _HEADERS = 7, 11, 12  # where pick.sql answers them


def _picked(rows: Sequence[Row]) -> list[Job]:
    # sorted here: an UPDATE answers in whatever order it found the rows
    return sorted((_picked_job(list(row)) for row in rows), key=lambda job: (-job.priority, job.id))


def _limited_pick(rows: Sequence[Row]) -> LimitedPick:
    jobs = _picked([job for _, _, _, *job in rows if job[0] is not None])
    holds = {name: Hold(Verdict(verdict), wait) for name, verdict, wait, *_ in rows}
    return LimitedPick(jobs, holds)


def _listed(rows: Sequence[Row]) -> list[Job]:
    return [replace(_picked_job(list(row)), status=JobStatus(row[_STATUS])) for row in rows]


def _picked_job(values: list[Any]) -> Job:
    values[_STATUS] = JobStatus.PICKED
    values[_ARGUMENTS] = _json(values[_ARGUMENTS]) or {}
    values[_HEADERS] = _json(values[_HEADERS])
    return job_of(values)


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits, arrays nested a thousand deep: it is for this job's handler to fail.
        return Unreadable(error)


def _lease_params(leases: Sequence[Lease]) -> dict[str, list[int]]:
    return {"ids": [held.id for held in leases], "leases": [held.lease for held in leases]}


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
