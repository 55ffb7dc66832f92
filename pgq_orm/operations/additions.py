"""Additions: jobs that an application adds, and what it says of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar, Unpack, cast

from pgq_orm import storable
from pgq_orm.errors import DuplicateJobError, InvalidJobError
from pgq_orm.keywords import unexpected
from pgq_orm.operations.operation import Operation, Row, array_literal, read_ids, read_nothing
from pgq_orm.sql import statement
from pgq_orm.statuses import OnFailure
from pgq_orm.storable import ExecuteAfter, JsonObject

T = TypeVar("T")
OnConflict: TypeAlias = Literal["raise", "skip", "update"]
Many: TypeAlias = T | Sequence[T]
"""One value for all jobs of a call, or a list with one for each."""

DEFAULT_QUEUE = "default"
ENQUEUE_BATCH = 1000
"""How many jobs one statement adds at the most: larger arrays gain nothing and hold their memory."""


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


SAID_BY_NAME = ("payload", "priority", "execute_after", "dedupe_key", "headers", "on_conflict")
"""Parameters that are not among the options."""


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
    if options and (unknown := options.keys() - EnqueueOptions.__annotations__.keys()):
        raise unexpected("enqueue", unknown, [*SAID_BY_NAME, *EnqueueOptions.__annotations__])
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
    parent_ids = _parent_ids(options["depends_on"]) if "depends_on" in options else ()
    on_failure = options.get("on_failure", "cancel")
    storable.check("on_failure", on_failure)
    if dedupe_key is None and not any(map(is_list, columns.values())):
        return Enqueue((_insert_of_one(columns),), (None,), on_conflict, parent_ids, on_failure)
    count = _count(columns)
    values = {
        name: storable.column(name, value) if is_list(value) else storable.value(name, value)
        for name, value in columns.items()
    }
    dedupe_keys = tuple(_each(values["dedupe_key"], count))
    if not any(key is not None for key in dedupe_keys):
        inserts = _inserts("enqueue_keyless", values, count, {}, _all_added_without_key)
    elif on_conflict == "update":
        _refuse_repeated(dedupe_keys)
        claimed = {"claimed_keys": [key for key in dedupe_keys if key is not None]}
        inserts = _inserts("enqueue_update", values, count, claimed, _added)
    else:
        inserts = _inserts("enqueue", values, count, {}, _added)
    return Enqueue(inserts, dedupe_keys, on_conflict, parent_ids, on_failure)


def is_list(value: object) -> bool:
    """Whether this is a value for each of several jobs, of a parameter that may be `Many`."""
    return isinstance(value, (list, tuple))


def depend(job_ids: Sequence[int], parent_ids: Sequence[int], on_failure: OnFailure) -> Operation[None]:
    """Lets jobs that no worker has picked wait for others, each for all of them."""
    params = {"ids": list(job_ids), "parent_ids": list(parent_ids), "on_failure": on_failure}
    return Operation(statement("depend"), params, read_nothing)


def find_jobs(job_ids: Sequence[int]) -> Operation[set[int]]:
    """Which of these jobs there are, to be done or in the log."""
    return Operation(statement("read_statuses"), {"ids": list(job_ids)}, read_ids)


def enqueue_params(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The parameters that say of jobs what an enqueuer may say, from a list for each column.

    Raises InvalidJobError for what cannot be stored.
    """
    return _params(
        {name: storable.column(name, column) for name, column in columns.items()}, 0, _count(columns)
    )


def withdraw(job_ids: Sequence[int]) -> Operation[None]:
    """Takes back jobs that the same transaction has just added."""
    return Operation(statement("withdraw"), {"ids": list(job_ids)}, read_nothing)


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


def _insert_of_one(columns: Mapping[str, Any]) -> Operation[list[Added]]:
    """For what most enqueues are, a job without a dedupe_key: every microsecond here is the caller's."""
    params = {name: storable.value(name, value) for name, value in columns.items()}
    del params["dedupe_key"]
    time = params.pop("execute_after")
    if time is None:
        return Operation(statement("enqueue_now"), params, _added_without_key)
    params["execute_at"] = time if isinstance(time, datetime) else None
    params["delay_seconds"] = time.total_seconds() if isinstance(time, timedelta) else 0.0
    return Operation(statement("enqueue_one"), params, _added_without_key)


def _params(values: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    # What is the same for all jobs is sent once, or not at all: drivers and server spend most of their time on arrays.

    def given(name: str) -> list[Any]:
        value = values[name]
        return [] if value is None else _each(value, stop - start, start)

    def shared(name: str) -> list[Any]:
        value = values[name]
        return value[start:stop] if is_list(value) else [value]

    times = given("execute_after")
    return {
        "queues": shared("queue"),
        "entrypoints": shared("entrypoint"),
        # in full, for it tells how many jobs there are
        "priorities": array_literal("%d", _each(values["priority"], stop - start, start)),
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
    return value[start : start + count] if is_list(value) else [value] * count


def _count(columns: Mapping[str, Any]) -> int:
    lengths = {name: len(value) for name, value in columns.items() if is_list(value)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise InvalidJobError(
            f"lists of different lengths ({found}): give one entry for each job in every list"
        )
    return next(iter(lengths.values()), 1)


def _parent_ids(depends_on: Any) -> tuple[int, ...]:
    parent_ids = tuple(depends_on) if isinstance(depends_on, Iterable) else (depends_on,)
    for parent_id in parent_ids:
        storable.check_id(parent_id)
    return tuple(dict.fromkeys(parent_ids))


def _refuse_repeated(keys: Sequence[str | None]) -> None:
    given = [key for key in keys if key is not None]
    repeated = {key for key in given if given.count(key) > 1} if len(set(given)) < len(given) else ()
    if repeated:
        raise InvalidJobError(
            f"dedupe_key given twice in one call: {', '.join(map(repr, sorted(repeated)))}; "
            'with on_conflict="update" each key may occur once'
        )


def _added(rows: Sequence[Row]) -> list[Added]:
    return [Added(*row) for row in rows]


def _added_without_key(rows: Sequence[Row]) -> list[Added]:
    return [Added(row[0], None) for row in rows]


def _all_added_without_key(rows: Sequence[Row]) -> list[Added]:
    [[job_ids]] = rows
    return [Added(job_id, None) for job_id in job_ids or ()]
