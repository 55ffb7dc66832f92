"""Pruning: the log forgets what is older than the retention, a batch at a time."""

from datetime import timedelta

from pgq_orm import operations
from tests.conformance.bindings import Binding
from tests.conformance.tables import Tables, ago


async def prune(binding: Binding, batch_size: int = 100) -> int:
    return await binding.run(operations.prune(retention=timedelta(days=30), batch_size=batch_size))


async def test_what_is_older_than_the_retention_goes_and_the_rest_stays(
    binding: Binding, tables: Tables
) -> None:
    for days in (40, 31, 29, 0):
        tables.add_log(created=ago(days=days), job_id=days)
    assert await prune(binding) == 2
    assert [log.job_id for log in tables.logs()] == [29, 0]
    assert await prune(binding) == 0


async def test_no_more_than_a_batch_goes_at_a_time(binding: Binding, tables: Tables) -> None:
    for job_id in range(5):
        tables.add_log(created=ago(days=40), job_id=job_id)
    assert [await prune(binding, batch_size=2) for _ in range(4)] == [2, 2, 1, 0]
    assert tables.logs() == []


async def test_an_empty_log_has_nothing_to_forget(binding: Binding, tables: Tables) -> None:
    assert await prune(binding) == 0
