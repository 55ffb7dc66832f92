"""docs/limits.md: its examples do what the page says."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from pgq_orm.limits import Limit, LimitOptions
from pgq_orm.worker.settings import QueueExecutionMode
from tests.databases import sqlalchemy_url
from tests.worker.queues import Queue

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
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


async def test_the_handlers_have_the_limits_and_do_their_work(
    example: Callable[[str], ModuleType], queue: Queue
) -> None:
    pgq = example("workshop").pgq
    assert pgq.registry.limits == {
        "render": Limit(concurrency=4),
        "post_to_ledger": Limit(concurrency=1),
        "ask_rates": Limit(per_second=10),
        "import_orders": Limit(per_key=1),
    }
    queue.enqueue(["render", "post_to_ledger", "ask_rates", "ask_rates"])  # type: ignore[arg-type]
    engine = create_async_engine(sqlalchemy_url(queue.dsn))
    async with AsyncSession(engine) as session, session.begin():
        assert len(await example("orders").order_imports(session)) == 3
    await engine.dispose()
    await pgq.run(mode=QueueExecutionMode.drain)
    assert sorted(row.result for row in queue.log()) == [
        "asked",
        "asked",
        "imported for shop-1",
        "imported for shop-1",
        "imported for shop-2",
        "posted",
        "rendered",
    ]


def test_every_option_is_in_the_table() -> None:
    assert not [name for name in LimitOptions.__annotations__ if f"| `{name}=" not in PAGE]
