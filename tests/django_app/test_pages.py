"""What docs/queries.md says of Django runs, and answers what it says."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm_django.registry import registry
from pgq_orm_django.store import DatabaseStore
from tests.django_app.factories import a_schedule
from tests.queries.test_docs import CLAIM, DOCS

BLOCKS = re.findall(r"^```py\n(.*?)^```", (DOCS / "queries.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.usefixtures("db")


def send_mail(job: Job) -> int:
    """The handler of the page."""
    address: str = job.arguments["to"]
    if "@" not in address:
        raise ValueError(f"no address: {address}")
    return len(address)


@pytest.fixture
def pgq() -> Iterator[PgQueuer]:
    registry.entrypoint("send_mail")(send_mail)
    yield PgQueuer(DatabaseStore("default"), registry=registry)
    del registry.entrypoints["send_mail"]


def test_the_examples_run_and_answer_what_they_say(pgq: PgQueuer) -> None:
    claims: list[tuple[str, object, object]] = []
    names: dict[str, Any] = {
        "claim": lambda text, found, said: claims.append((text, found, said)),
        "work": lambda: asyncio.run(pgq.run(mode=QueueExecutionMode.drain)),
        "schedule_id": a_schedule(entrypoint="close_books").pk,
    }
    for block in BLOCKS:
        exec(CLAIM.sub(lambda claim: f"{claim[1]}claim({claim[2]!r}, {claim[2]}, {claim[3]})", block), names)
    for text, found, said in claims:
        assert found == said, text
    assert len(claims) == sum(len(CLAIM.findall(block)) for block in BLOCKS) > 0
