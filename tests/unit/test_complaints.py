"""Complaints: what the user can mend is told in one line that says how."""

import pytest

from pgq_orm.cli.complaints import complaint_about
from pgq_orm.errors import FlagError


@pytest.mark.parametrize(
    ("missing", "remedies"),
    [
        ("asyncpg", ["pip install 'pgq-orm[asyncpg]'", "postgresql+psycopg://"]),
        ("psycopg", ["pip install 'pgq-orm[sqlalchemy]'", "postgresql+asyncpg://"]),
        ("psycopg2", ["postgresql+psycopg://", "postgresql+asyncpg://"]),
    ],
)
def test_a_missing_driver_is_told_with_what_to_install(missing: str, remedies: list[str]) -> None:
    told = complaint_about(ModuleNotFoundError(f"No module named {missing!r}", name=missing))
    assert told is not None
    assert told.startswith(f"{missing} is not installed, ")
    assert all(remedy in told for remedy in remedies)


def test_other_errors_keep_their_traceback() -> None:
    assert complaint_about(ModuleNotFoundError("No module named 'numpy'", name="numpy")) is None
    assert complaint_about(ValueError("wrong")) is None
    assert complaint_about(FlagError("one line")) == "one line"
