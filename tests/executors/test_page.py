"""docs/executors.md: its examples do what the page says."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pgq_orm.statuses import LogStatus
from tests.databases import sqlalchemy_url
from tests.executors.jobs import DRAIN, Queue

PAGE = (Path(__file__).parents[2] / "docs" / "executors.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def example(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports an example of the page, as the module that it says it is."""
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(dsn))
    monkeypatch.syspath_prepend(tmp_path)

    def load(name: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(BLOCKS[name], encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return __import__(name)

    return load


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
