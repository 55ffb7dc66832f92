"""Settings: what no worker could work with is refused before one starts."""

from datetime import timedelta

import pytest

from pgq_orm.errors import RegistrationError
from pgq_orm.worker.settings import WorkerSettings


def test_a_lease_that_would_outlast_everybodys_patience_is_refused() -> None:
    WorkerSettings(heartbeat_timeout=timedelta(days=365))
    with pytest.raises(RegistrationError, match="heartbeat_timeout must be at most 365 days"):
        WorkerSettings(heartbeat_timeout=timedelta.max)
