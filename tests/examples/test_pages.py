"""The page about retries: its block registers what it says."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from pgq_orm import PgQueuer
from pgq_orm.models import Job

PAGE = Path(__file__).parents[2] / "docs" / "retries.md"


async def test_the_page_about_retries_registers_what_it_says(async_engine: AsyncEngine) -> None:
    names: dict[str, Any] = {"pgq": PgQueuer(async_engine), "Job": Job}
    for block in re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        exec(block, names)

    retries = names["pgq"].registry.require("fetch").retries
    assert (retries.max_attempts, retries.backoff.maximum) == (5, timedelta(minutes=5))
    assert retries.grants(ConnectionError(), failures=4, max_attempts=None)
    assert not retries.grants(ConnectionError(), failures=5, max_attempts=None)
    assert not retries.grants(FileNotFoundError(), failures=1, max_attempts=None)
