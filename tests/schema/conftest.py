"""What every door must build."""

import pytest

from tests.schema.catalogue import catalogue


@pytest.fixture(scope="session")
def expected(template_dsn: str) -> str:
    return catalogue(template_dsn)
