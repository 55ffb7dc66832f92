"""A shop whose tests are tested: orders, and handlers of every kind that touch them."""

import asyncio
from datetime import date, timedelta

from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgq_orm import INJECTED, Registry
from pgq_orm.models import Context, Job, Schedule
from pgq_orm.outcomes import Cancel, RetryRequested, Snooze
from pgq_orm.parents import Parents
from pgq_orm.sqlalchemy import Queries, SyncQueries

shop = Registry()


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "shop_order"

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(default="new")


class Refused(Exception):
    pass


@shop.entrypoint("pay")
async def pay(job: Job, session: AsyncSession) -> str:
    order = await session.get_one(Order, job.arguments["order_id"])
    order.status = "paid"
    await Queries(session).enqueue("ship", arguments={"order_id": order.id})
    return order.status


@shop.entrypoint("ship")
def ship(job: Job, session: Session) -> str:
    order = session.get_one(Order, job.arguments["order_id"])
    order.status = "shipped"
    SyncQueries(session).enqueue("thank", arguments={"order_id": order.id})
    return order.status


@shop.task
async def thank(order_id: int, on: date | None = None, session: AsyncSession = INJECTED) -> int:
    await session.scalars(select(Order))
    await asyncio.sleep(0)
    return order_id


@shop.entrypoint("refuse")
async def refuse(job: Job, session: AsyncSession) -> None:
    session.add(Order(id=100))
    await session.flush()
    raise Refused("no such card")


@shop.entrypoint("refuse_in_a_thread")
def refuse_in_a_thread(job: Job, session: Session) -> None:
    session.add(Order(id=100))
    session.flush()
    raise Refused("no such card")


@shop.entrypoint("succeed_at_last", max_attempts=3)
def succeed_at_last(job: Job, session: Session) -> int:
    session.add(Order(id=100 + job.attempts))
    session.flush()
    if job.attempts < 2:
        raise Refused(f"attempt {job.attempts}")
    return job.attempts


@shop.entrypoint("break_the_transaction", max_attempts=2)
async def break_the_transaction(job: Job, session: AsyncSession) -> None:
    if job.attempts == 0:
        await session.execute(text("SELECT 1 / 0"))


@shop.entrypoint("commit_halfway")
def commit_halfway(job: Job, session: Session) -> None:
    session.add(Order(id=1))
    session.commit()
    session.add(Order(id=2))
    session.flush()
    raise Refused


@shop.task(transactional=True, max_attempts=2)
async def charge(order_id: int, job: Job = INJECTED, session: AsyncSession = INJECTED) -> int:
    session.add(Order(id=order_id + job.attempts))
    await session.flush()
    if job.attempts == 0:
        raise Refused("try again")
    await thank.enqueue(session, order_id)
    return order_id


@shop.task(transactional=True)
def charge_in_a_thread(order_id: int, session: Session = INJECTED) -> None:
    session.add(Order(id=order_id))
    if order_id < 0:
        session.flush()
        raise Refused("less than nothing")


@shop.task(transactional=True)
def commit_by_itself(session: Session = INJECTED) -> None:
    session.add(Order(id=1))
    session.commit()


@shop.entrypoint("add_up")
def add_up(job: Job, parents: Parents) -> int:
    return sum(parents.results().values())


@shop.task
async def add_up_task(parents: Parents = INJECTED) -> int:
    return sum(parents.results().values())


@shop.entrypoint("limited", requests_per_second=1, concurrency_limit=1)
def limited(job: Job) -> None:
    pass


@shop.entrypoint("cut_the_connection")
async def cut_the_connection(job: Job, session: AsyncSession) -> None:
    await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


@shop.entrypoint("delete_orders")
async def delete_orders(job: Job, session: AsyncSession) -> None:
    await session.execute(delete(Order))


@shop.entrypoint("exit")
async def exit_at_once(job: Job) -> None:
    raise SystemExit(3)


@shop.entrypoint("exit_a_thread")
def exit_a_thread(job: Job) -> None:
    raise SystemExit(3)


@shop.entrypoint("hang", timeout=timedelta(milliseconds=50))
async def hang(job: Job) -> None:
    await asyncio.Event().wait()


@shop.entrypoint("snooze")
def snooze(job: Job) -> Snooze:
    return Snooze(timedelta(minutes=10))


@shop.entrypoint("cancel")
def cancel(job: Job) -> None:
    raise Cancel("not needed any more")


@shop.entrypoint("ask_again")
def ask_again(job: Job) -> None:
    raise RetryRequested(timedelta(hours=1))


@shop.entrypoint("run_a_loop")
def run_a_loop(job: Job) -> str:
    async def answer() -> str:
        return "a loop of its own"

    return asyncio.run(answer())


@shop.entrypoint("tell_resources")
def tell_resources(job: Job, context: Context) -> object:
    return context.resources["greeting"]


@shop.schedule("audit", "@daily")
def audit(schedule: Schedule) -> str:
    return schedule.expression
