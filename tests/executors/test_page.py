"""docs/executors.md and docs/functions.md: their examples do what the pages say."""

import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import text

from pgq_orm.functions import FunctionJob
from pgq_orm.statuses import LogStatus
from tests.databases import sqlalchemy_url
from tests.executors.jobs import DRAIN, Queue

DOCS = Path(__file__).parents[2] / "docs"
PAGES = "\n".join((DOCS / page).read_text(encoding="utf-8") for page in ("executors.md", "functions.md"))
BLOCKS = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", PAGES, re.MULTILINE | re.DOTALL))


@pytest.fixture
async def example(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str], ModuleType]]:
    """Imports an example of the page, as the module that it says it is; its engine is disposed of after the test."""
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(dsn))
    monkeypatch.syspath_prepend(tmp_path)
    loaded: list[ModuleType] = []

    def load(name: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(BLOCKS[name], encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
        loaded.append(__import__(name))
        return loaded[-1]

    yield load
    for module in loaded:
        if hasattr(module, "engine"):
            await module.engine.dispose()


async def drained(example: ModuleType) -> None:
    await example.pgq.run(mode=DRAIN)


async def test_the_work_of_a_thumbnail_is_done_in_a_process(
    example: Callable[[str], ModuleType], queue: Queue
) -> None:
    job_id = queue.enqueue("thumbnail", arguments={"size": 4})
    await drained(example("thumbnails"))
    assert [row.result for row in queue.log(job_id)] == [14]


async def test_a_notification_is_sent(example: Callable[[str], ModuleType], queue: Queue) -> None:
    job_id = queue.enqueue("user_notification", b"sms|Ring the bell")
    await drained(example("notifications"))
    assert [row.result for row in queue.log(job_id)] == ["sms sent: Ring the bell"]


@pytest.mark.parametrize(("day", "result"), [("2026-01-02", "swept"), ("2026-01-03", "closed")])
async def test_sweeping_rests_at_the_weekend(
    example: Callable[[str], ModuleType], queue: Queue, day: str, result: str
) -> None:
    with queue.engine.begin() as connection:
        connection.execute(
            text(
                """
                WITH schedule AS (
                    INSERT INTO pgq_schedule (entrypoint, expression, timezone, next_run, last_run)
                    VALUES ('sweep', '0 6 * * *', 'Europe/Vienna', '2100-01-01Z', CAST(:day AS timestamptz))
                    RETURNING id
                )
                INSERT INTO pgq_job (entrypoint, schedule_id) SELECT 'sweep', id FROM schedule
                """
            ),
            {"day": f"{day} 06:00+00"},
        )
    await drained(example("sweeping"))
    assert [row.result for row in queue.log()] == [result]


async def test_the_rates_are_asked_for_again_at_once(
    example: Callable[[str], ModuleType], queue: Queue
) -> None:
    job_id = queue.enqueue("ask_rates")
    await drained(example("retries"))
    assert [(row.attempt, row.result) for row in queue.log(job_id)] == [(1, "answered at call 3")]


async def test_the_invoice_is_sent_again_by_the_queue(
    example: Callable[[str], ModuleType], queue: Queue
) -> None:
    job_id = queue.enqueue("send_invoice")
    await drained(example("retries"))
    assert [(row.attempt, row.status) for row in queue.log(job_id)] == [
        (1, LogStatus.EXCEPTION),
        (2, LogStatus.EXCEPTION),
    ]


async def test_the_words_are_counted_by_a_program(example: Callable[[str], ModuleType], queue: Queue) -> None:
    job_id = queue.enqueue("count_words", b"to be or not to be")
    await drained(example("words"))
    assert [str(row.result).strip() for row in queue.log(job_id)] == ["6"]


async def test_a_toy_is_painted_by_a_function_that_nobody_registered(
    example: Callable[[str], ModuleType], queue: Queue
) -> None:
    toys = example("toys")
    await toys.order_paint()
    await drained(toys)
    assert [row.result for row in queue.log()] == ["2 coats of red"]


async def test_what_is_printed_is_for_the_printer_to_say(
    example: Callable[[str], ModuleType], queue: Queue
) -> None:
    printing = example("printing")
    jobs = [FunctionJob(func="gcode.cube", kwargs={"size": 2}), FunctionJob(func="gcode.nothing")]
    await printing.pgq.queries.push("printer", jobs)
    await drained(printing)
    assert {row.job_id: row.status for row in queue.log()} == {1: "successful", 2: "exception"}


async def test_a_toyshop_that_was_written_for_chancy_works_here(
    example: Callable[[str], ModuleType], queue: Queue
) -> None:
    example("toys")
    await example("toyshop").main()
    assert [row.result for row in queue.log()] == ["1 coats of blue"]
