"""Limits: nonsense is refused where it is registered, and a bucket never gives more than it should."""

import math
from typing import Any

import pytest

from pgq_orm.errors import RegistrationError
from pgq_orm.limits import Limit
from pgq_orm.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def work(job: object) -> None: ...


def limit_of(registry: Registry, **options: Any) -> Limit | None:
    registry.entrypoint("work", **options)(work)
    return registry.require("work").limit


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, None),
        ({"concurrency_limit": 4}, Limit(concurrency=4)),
        ({"serialized_dispatch": True}, Limit(concurrency=1)),
        ({"serialized_dispatch": True, "concurrency_limit": 1}, Limit(concurrency=1)),
        ({"serialized_dispatch": False}, None),
        ({"requests_per_second": 10}, Limit(per_second=10)),
        ({"requests_per_second": 0.1}, Limit(per_second=0.1)),
        ({"requests_per_second": math.inf}, None),
        ({"concurrency_limit_per_key": 2}, Limit(per_key=2)),
        (
            {"concurrency_limit": 8, "concurrency_limit_per_key": 2, "requests_per_second": 5},
            Limit(concurrency=8, per_key=2, per_second=5),
        ),
    ],
)
def test_an_entrypoint_has_the_limits_that_were_asked_for(
    registry: Registry, options: dict[str, Any], limit: Limit | None
) -> None:
    assert limit_of(registry, **options) == limit
    assert registry.limits == ({} if limit is None else {"work": limit})


def test_a_schedules_handler_has_limits_too(registry: Registry) -> None:
    registry.schedule("work", "@daily", concurrency_limit=2)(work)
    assert registry.limits == {"work": Limit(concurrency=2)}


@pytest.mark.parametrize("name", ["concurrency_limit", "concurrency_limit_per_key"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, math.nan, "4", 2**31])
def test_a_number_of_jobs_is_a_positive_integer(registry: Registry, name: str, value: Any) -> None:
    with pytest.raises(RegistrationError, match=rf"^{name} must be a positive integer, not .*leave it out"):
        limit_of(registry, **{name: value})
    assert not registry.entrypoints


@pytest.mark.parametrize("value", [0, -1, True, False, math.nan, -math.inf, "4", 1e-7, 1e7, 10**400])
def test_a_rate_is_a_positive_number(registry: Registry, value: Any) -> None:
    with pytest.raises(
        RegistrationError, match=r"^requests_per_second must be a number from 1e-06 to 1e\+06"
    ):
        limit_of(registry, requests_per_second=value)


@pytest.mark.parametrize("value", [1, 0, "yes"])
def test_serialized_dispatch_is_a_claim(registry: Registry, value: Any) -> None:
    with pytest.raises(RegistrationError, match="serialized_dispatch must be True or False"):
        limit_of(registry, serialized_dispatch=value)


def test_one_at_a_time_and_four_at_a_time_contradict_each_other(registry: Registry) -> None:
    with pytest.raises(
        RegistrationError, match="one job at a time, concurrency_limit=4 is not: leave one out"
    ):
        limit_of(registry, serialized_dispatch=True, concurrency_limit=4)


def test_a_limit_per_key_that_is_never_reached_is_a_mistake(registry: Registry) -> None:
    with pytest.raises(RegistrationError, match="concurrency_limit_per_key=3 can never be reached"):
        limit_of(registry, concurrency_limit=2, concurrency_limit_per_key=3)


@pytest.mark.parametrize("per_second", [0.1, 0.5, 1, 2, 7.5, 10, 100, 1000, 12345])
def test_a_bucket_gives_no_second_more_than_the_limit_and_one(per_second: float) -> None:
    bucket = Limit(per_second=per_second).bucket
    assert bucket is not None
    assert bucket.capacity + bucket.refill == pytest.approx(per_second + 1)
    assert bucket.refill >= 0.95 * per_second
    assert bucket.capacity >= 1


def test_no_more_is_asked_for_than_a_limit_can_give() -> None:
    assert Limit(concurrency=4).most == 4
    assert Limit(per_second=1).most == 1
    assert Limit(per_second=100, concurrency=50).most == 5
    assert Limit(per_key=2).most == math.inf
