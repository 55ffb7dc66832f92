"""django-tasks-db: the `Worker` of its `db_worker` command; it runs one job at a time and polls once a second."""

from collections.abc import Mapping
from typing import Any

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from benchmarks.contestants.conversation import WARM_UP, Stop, Stopwatch, Tally, serve, two_lots

INTERVAL_SECONDS = 1.0
"""The default of its command."""


class DjangoTasksDb:
    libraries = ("django-tasks-db", "django", "psycopg")
    fill = (
        "INSERT INTO django_tasks_database_dbtaskresult (id, status, enqueued_at, args_kwargs, priority, task_path,"
        " queue_name, backend_name, run_after, exception_class_path, traceback, worker_ids)"
        " SELECT gen_random_uuid(), 'READY', now(), jsonb_build_object('args', jsonb_build_array(number), 'kwargs',"
        " jsonb_build_object()), 0, 'benchmarks.contestants.noop_task.noop', 'default', 'default',"
        " CASE WHEN %(delay)s::float8 > 0 THEN now() + make_interval(secs => %(delay)s::float8)"
        " ELSE timestamptz '9999-01-01 00:00+00' END, '', '', '[]'"
        " FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number"
    )
    left = (
        "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status IN ('READY', 'RUNNING')"
        " AND (run_after <= now() OR run_after = timestamptz '9999-01-01 00:00+00')"
    )
    done = "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status = 'SUCCESSFUL'"

    def __init__(self, dsn: str) -> None:
        parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
        settings.configure(
            DATABASES={
                "default": {
                    "ENGINE": "django.db.backends.postgresql",
                    "NAME": parts.pop("dbname"),
                    "USER": parts.pop("user", ""),
                    "PASSWORD": parts.pop("password", ""),
                    "HOST": parts.pop("host", ""),
                    "PORT": parts.pop("port", ""),
                    "OPTIONS": parts,
                }
            },
            INSTALLED_APPS=["django_tasks_db"],
            TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
            USE_TZ=True,
            LOGGING_CONFIG=None,
        )
        django.setup()

    def install(self) -> None:
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        connection.close()

    def enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        from django.db import connection

        from benchmarks.contestants.noop_task import noop

        for payload in watch.over(payloads, WARM_UP):
            noop.enqueue(int(payload))
        connection.close()

    def enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        # it has no bulk enqueue; one transaction for all of them is the best there is
        from django.db import connection, transaction

        from benchmarks.contestants.noop_task import noop

        for lot in watch.over(two_lots(payloads), 1):
            with transaction.atomic():
                for payload in lot:
                    noop.enqueue(int(payload))
        connection.close()

    def work(self, tally: Tally, stop: Stop, options: Mapping[str, Any]) -> None:
        from django.db import connection
        from django_tasks_db.management.commands.db_worker import Worker

        from benchmarks.contestants import noop_task

        noop_task.on_run.append(tally)
        worker = Worker(
            queue_names=["default"],
            interval=INTERVAL_SECONDS,
            batch=False,
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id="benchmark",
            excluded_queue_names=[],
        )
        stop.then(lambda: setattr(worker, "running", False))
        worker.run()
        connection.close()


if __name__ == "__main__":
    serve(DjangoTasksDb)
