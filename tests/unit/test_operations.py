"""Operations: what PostgreSQL would refuse is refused before anything is sent, in words that help."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from pgq_orm import operations
from pgq_orm.errors import InvalidJobError
from pgq_orm.operations.additions import Enqueue

LONG = "x" * 501
NESTED: list[object] = []
for _ in range(100_000):
    NESTED = [NESTED]
CIRCULAR: dict[str, object] = {}
CIRCULAR["self"] = CIRCULAR


def enqueue(**parameters: Any) -> Enqueue:
    return operations.enqueue(**{"entrypoint": "mail"} | parameters)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        # names
        ({"entrypoint": ""}, "entrypoint must have 1 to 500 characters, not 0: ''"),
        ({"entrypoint": LONG}, "entrypoint must have 1 to 500 characters, not 501: 'xxx"),
        ({"entrypoint": None}, "entrypoint must be a string, not NoneType: None"),
        ({"entrypoint": b"mail"}, "entrypoint must be a string, not bytes: b'mail'"),
        ({"entrypoint": ["mail", 5]}, "entrypoint must be a string, not int: 5"),
        ({"entrypoint": "ma\0il"}, "entrypoint holds a character that PostgreSQL cannot store (NUL or"),
        ({"entrypoint": "ma\ud800il"}, "entrypoint holds a character that PostgreSQL cannot store (NUL or"),
        ({"queue": ""}, "queue must have 1 to 500 characters"),
        ({"queue": None}, "queue must be a string, not NoneType"),
        ({"dedupe_key": ""}, "dedupe_key must have 1 to 500 characters"),
        ({"dedupe_key": LONG}, "dedupe_key must have 1 to 500 characters, not 501"),
        ({"dedupe_key": 5}, "dedupe_key must be a string, not int: 5"),
        ({"dedupe_key": "\0"}, "dedupe_key holds a character that PostgreSQL cannot store"),
        ({"concurrency_key": ""}, "concurrency_key must have 1 to 500 characters"),
        ({"concurrency_key": 5}, "concurrency_key must be a string, not int: 5"),
        ({"concurrency_key": ["a", "\0"]}, "concurrency_key holds a character that PostgreSQL cannot store"),
        ({"concurrency_key": "\U0001f600" * 201}, "concurrency_key must have at most 800 bytes in UTF-8, not 804"),
        ({"entrypoint": "é" * 401}, "entrypoint must have at most 800 bytes in UTF-8, not 802"),
        # payloads
        ({"payload": "text"}, "payload must be bytes or None, not str: encode it, or pass arguments={...}"),
        ({"payload": {"a": 1}}, "payload must be bytes or None, not dict"),
        # numbers
        ({"priority": True}, "priority must be an integer of 32 bits, not True; a higher one is picked first"),
        ({"priority": 1.5}, "priority must be an integer of 32 bits, not 1.5"),
        ({"priority": 2**31}, "priority must be an integer of 32 bits, not 2147483648"),
        ({"priority": "high"}, "priority must be an integer of 32 bits, not 'high'"),
        ({"priority": None}, "priority must be an integer of 32 bits, not None"),
        ({"max_attempts": 0}, "max_attempts must be a positive integer or None, not 0"),
        ({"max_attempts": True}, "max_attempts must be a positive integer or None, not True"),
        ({"max_attempts": 2**31}, "max_attempts must be a positive integer or None"),
        # times
        (
            {"execute_after": datetime(2026, 1, 1, 12)},  # noqa: DTZ001 - that is the mistake
            "(2026-01-01T12:00:00): give it a time zone, for example datetime.now(timezone.utc), or pass a timedelta",
        ),
        ({"execute_after": 5}, "execute_after must be a timedelta, an aware datetime or None, not 5"),
        ({"execute_after": datetime(2026, 1, 1, tzinfo=UTC).date()}, "execute_after must be a timedelta"),
        ({"execute_after": timedelta.max}, "execute_after lies more than a hundred years away"),
        ({"execute_after": timedelta.min}, "execute_after lies more than a hundred years away"),
        ({"execute_after": datetime.max.replace(tzinfo=UTC)}, "execute_after lies outside of the years 1900 to 9000"),
        ({"execute_after": datetime.min.replace(tzinfo=UTC)}, "execute_after lies outside of the years 1900 to 9000"),
        (
            {"execute_after": datetime(1900, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
            "execute_after lies outside of the years 1900 to 9000 in UTC: 1900-01-01T00:00:00+01:00",
        ),
        ({"execute_after": datetime(9000, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))}, "9000 in UTC"),
        # JSON
        ({"arguments": [1, 2]}, "arguments must be a mapping with string keys, or None, not 1"),
        ({"arguments": "text"}, "arguments must be a mapping with string keys, or None, not 'text'"),
        ({"arguments": {5: "a"}}, "arguments must be a mapping with string keys, or None, not {5: 'a'}"),
        ({"headers": {"a": float("nan")}}, "headers cannot be stored as JSON: Out of range float values"),
        ({"headers": {"a": [float("inf")]}}, "headers cannot be stored as JSON: Out of range float values"),
        ({"arguments": {"a": "\0"}}, "arguments cannot be stored as JSON: a string holds the character NUL"),
        ({"arguments": {"\0": 1}}, "arguments cannot be stored as JSON: a string holds the character NUL"),
        ({"arguments": {"a": "\\\0"}}, "arguments cannot be stored as JSON: a string holds the character NUL"),
        ({"arguments": {"a": "\ud800"}}, "arguments cannot be stored as JSON: a string holds a lone surrogate"),
        ({"arguments": {"a": ["\udfff"]}}, "arguments cannot be stored as JSON: a string holds a lone surrogate"),
        ({"arguments": {"a": uuid.UUID(int=0)}}, "arguments cannot be stored as JSON: Object of type UUID is not JSON"),
        ({"arguments": {"a": uuid.UUID(int=0)}}, "(at ['a']: pass its str(), or declare a task, which converts"),
        ({"arguments": {"a": b"bytes"}}, "arguments cannot be stored as JSON: Object of type bytes is not JSON"),
        ({"arguments": {"b": [0, {"c": datetime.now(UTC)}]}}, "(at ['b'][1]['c']: pass its isoformat()"),
        ({"headers": {"a": {"b"}}}, "(at ['a']: pass a sorted list of it, or"),
        ({"arguments": {"a": {(1, 2): 3}}}, "(at ['a']: the keys of a dict must be strings, not (1, 2))"),
        ({"arguments": {"a": 10**5000}}, "arguments cannot be stored as JSON"),
        ({"arguments": {"a": NESTED}}, "arguments cannot be stored as JSON"),
        ({"arguments": CIRCULAR}, "arguments cannot be stored as JSON: Circular reference detected"),
        # lists
        (
            {"entrypoint": ["a", "b"], "payload": [b"1", b"2", b"3"]},
            "lists of different lengths (entrypoint: 2, payload: 3): give one entry for each job in every list",
        ),
        ({"entrypoint": [], "payload": [b"1"]}, "lists of different lengths (entrypoint: 0, payload: 1)"),
        ({"entrypoint": {"a", "b"}}, "entrypoint must be a string, not set"),
        # conflicts
        ({"on_conflict": "ignore"}, "on_conflict must be 'raise', 'skip' or 'update', not 'ignore'"),
        (
            {"dedupe_key": ["a", "a", "b", None, None], "on_conflict": "update"},
            "dedupe_key given twice in one call: 'a'; with on_conflict=\"update\" each key may occur once",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_stored_is_refused_with_the_reason(
    parameters: Mapping[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidJobError) as refusal:
        enqueue(**parameters)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    "parameters", [{"execute_at": None}, {"prio": 5}, {"arguments": {}, "wrong": 1, "args": 2}]
)
def test_an_unknown_word_is_refused(parameters: Mapping[str, Any]) -> None:
    with pytest.raises(
        TypeError, match=r"enqueue\(\) got an unexpected keyword argument: (execute_at|prio|args, wrong)"
    ):
        enqueue(**parameters)


@pytest.mark.parametrize(
    ("word", "meant"), [("arguement", "arguments"), ("prio", "priority"), ("execute_at", "execute_after")]
)
def test_a_misspelt_word_is_told_the_one_that_was_meant(word: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"argument: {word}: did you mean '{meant}'\?$"):
        enqueue(**{word: None})


def test_one_bad_entry_refuses_the_whole_list() -> None:
    with pytest.raises(InvalidJobError, match="priority must be an integer"):
        enqueue(priority=[1] * 2000 + [None])


class Priority(IntEnum):
    HIGH = 5


class Name(StrEnum):
    MAIL = "mail"


@pytest.mark.parametrize(
    "parameters",
    [
        {"entrypoint": "x" * 500, "queue": "é" * 400, "dedupe_key": "\U0001f600" * 500},
        {"concurrency_key": "\U0001f600" * 200},
        {"concurrency_key": ["a", None]},
        {"entrypoint": Name.MAIL, "priority": Priority.HIGH},
        {"payload": bytearray(b"bytes")},
        {"payload": memoryview(b"bytes")},
        {"payload": b""},
        {"priority": -(2**31)},
        {"priority": 2**31 - 1},
        {"execute_after": timedelta(days=-36500)},
        {"execute_after": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-12)))},
        {"execute_after": datetime(1900, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
        {"execute_after": datetime(9001, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
        {"arguments": {}},
        {"arguments": MappingProxyType({"a": 1})},
        {"arguments": {"a": r"\u0000", "b": "\\" * 5, "c": "\U0001f600", "d": 10**400, "e": 5e-324}},
        {"arguments": {"a": {5: "becomes '5'"}}},
        {"entrypoint": ("a", "b"), "payload": (b"1", None)},
    ],
)
def test_what_can_be_stored_is_not(parameters: Mapping[str, Any]) -> None:
    assert enqueue(**parameters).inserts


def test_members_of_enumerations_are_sent_as_what_they_stand_for() -> None:
    (insert,) = enqueue(entrypoint=[Name.MAIL, "letter"], priority=[Priority.HIGH, 1]).inserts
    assert [type(value) for value in insert.params["entrypoints"]] == [str, str]
    assert (insert.params["entrypoints"], insert.params["priorities"]) == (["mail", "letter"], "{5,1}")


def test_what_is_the_same_for_all_jobs_is_sent_once() -> None:
    (insert,) = enqueue(payload=[b"1", b"2", b"3"]).inserts
    assert (insert.params["entrypoints"], insert.params["priorities"]) == (["mail"], "{0,0,0}")
    assert (insert.params["max_attempts"], insert.params["execute_ats"]) == ([], [])


def test_a_thousand_jobs_go_in_one_statement() -> None:
    inserts = enqueue(payload=[b"1"] * 2500).inserts
    assert [len(insert.params["payloads"]) for insert in inserts] == [1000, 1000, 500]
