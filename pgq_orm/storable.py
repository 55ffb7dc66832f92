"""Storable: what PostgreSQL would refuse of a job is refused here first, in words that help."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, cast

from pgq_orm.errors import InvalidJobError
from pgq_orm.json_words import remedy
from pgq_orm.statuses import OnFailure

ExecuteAfter: TypeAlias = timedelta | datetime | None
JsonObject: TypeAlias = Mapping[str, Any]

NAME_LENGTH = 500
"""Characters in an entrypoint, a queue or a key."""
INDEXED_BYTES = 800
"""Bytes in an entrypoint, a queue or a concurrency_key: an index entry (2,704 bytes) must hold all three of them."""
LONGEST_DELAY = timedelta(days=366 * 100)
YEARS = range(1900, 9001)
"""In UTC. Drivers cannot read all instants that PostgreSQL stores, and a job that none reads would block its queue."""

_REPETITIVE = frozenset(("entrypoint", "priority", "queue", "max_attempts"))
"""Columns in which a thousand jobs have a few different values: each is checked once.

No times: in the hour that clocks repeat, two instants are equal to Python, and one would stand for both.
"""
_REQUIRED = frozenset(("entrypoint", "priority", "queue"))
"""Of what an enqueuer may say, the columns for which None is no value."""
_PLAIN_PAYLOADS = frozenset((bytes, type(None)))

_FIRST_INSTANT = datetime(YEARS.start, 1, 1, tzinfo=UTC)
_END_OF_TIME = datetime(YEARS.stop, 1, 1, tzinfo=UTC)
_BIGINT = range(-(2**63), 2**63)
_JSON_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def check(column: str, value: object) -> None:
    """Refuse what cannot be stored in a column that an application fills. Raises InvalidJobError."""
    _CHECKS[column](column, value)


def value(name: str, given: Any) -> Any:
    """What is to be stored for it in a column that an application fills. Raises InvalidJobError."""
    return None if given is None and name not in _REQUIRED else _CHECKS[name](name, given)


def column(name: str, values: Sequence[Any]) -> list[Any]:
    """What is to be stored in a column for many jobs. Raises InvalidJobError."""
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


def check_id(job_id: object) -> None:
    """Raises InvalidJobError for what is no id: PostgreSQL's own error would take the caller's transaction along."""
    if not isinstance(job_id, int) or isinstance(job_id, bool) or job_id not in _BIGINT:
        hint = ' (enqueue answers None for what on_conflict="skip" left out)' if job_id is None else ""
        raise InvalidJobError(f"a job's id must be an integer of 64 bits, not {job_id!r}{hint}")


def _checked_name(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidJobError(f"{name} must be a string, not {type(value).__name__}: {value!r}")
    if not 0 < len(value) <= NAME_LENGTH:
        raise InvalidJobError(
            f"{name} must have 1 to {NAME_LENGTH} characters, not {len(value)}: {value[:80]!r}"
        )
    if "\0" in value or not (value.isascii() or _is_encodable(value)):
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
        if not _FIRST_INSTANT <= value < _END_OF_TIME:
            raise InvalidJobError(
                f"{name} lies outside of the years {YEARS.start} to {YEARS.stop - 1} in UTC: {value.isoformat()}"
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
        hint = remedy(value) if isinstance(error.__cause__, TypeError) else ""
        raise InvalidJobError(f"{name} cannot be stored as JSON: {error}{hint}") from error


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
