import subprocess
import sys

import pytest

LIBRARIES = {"alembic", "asyncpg", "django", "psycopg", "sqlalchemy", "typer"}


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("pgq_orm", set()),
        ("pgq_orm.models", set()),
        ("pgq_orm.executors", set()),
        ("pgq_orm.worker.runner", set()),
        ("pgq_orm.testing", set()),
        ("pgq_orm.pytest_plugin", set()),
        ("pgq_orm.cli", set()),
        ("pgq_orm.sqlalchemy", {"sqlalchemy"}),
        ("pgq_orm_django", {"django", "psycopg"}),
    ],
)
def test_importing_a_package_loads_no_database_library_but_its_own(package: str, expected: set[str]) -> None:
    program = f"import sys, {package}; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-W", "error", "-c", program], text=True)

    assert LIBRARIES & set(loaded.split()) == expected
