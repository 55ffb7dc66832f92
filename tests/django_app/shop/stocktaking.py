from django.db import connection

from pgq_orm.models import Job
from tests.django_app.shop.models import Order


def count_orders(job: Job) -> int:
    if job.payload == b"break":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    return Order.objects.count()
