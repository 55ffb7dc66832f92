"""Handlers: a function is given what its parameters ask for, and nothing is guessed."""

import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Optional, Protocol, TypedDict

import pytest

import pgq_orm.sqlalchemy
from pgq_orm.errors import RegistrationError
from pgq_orm.executors import AbstractEntrypointExecutor
from pgq_orm.handlers import Handler, Signature, is_async, read_signature
from pgq_orm.models import Context, Job, Schedule
from pgq_orm.registry import Registry
from pgq_orm.statuses import JobStatus

if TYPE_CHECKING:
    from decimal import Decimal

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
JOB = Job(1, 1, NOON, NOON, NOON, 0, 0, JobStatus.PICKED, "default", "mail")


class Session:
    """What a binding would fill in."""


class SessionScopes:
    """A binding whose handlers may ask for a Session, and for nothing else."""

    def claims(self, annotation: object, *, is_async: bool) -> bool:
        if annotation is Session and not is_async:
            raise RegistrationError("a Session is awaited")
        return annotation is Session

    def in_loop(self, wanted: Mapping[str, object]) -> None: ...

    def in_thread(self, wanted: Mapping[str, object]) -> None: ...


def read(handler: Handler) -> Signature:
    return read_signature(handler, SessionScopes())


def call(handler: Handler) -> Any:
    positional, named = read(handler).arguments(JOB, Context(JOB))
    return handler(*positional, **named)


def test_the_first_parameter_is_given_the_job() -> None:
    assert call(lambda job: job) is JOB


def test_the_first_parameter_may_be_annotated() -> None:
    def handler(job: Job) -> Job:
        return job

    assert call(handler) is JOB


def test_a_handler_may_want_nothing() -> None:
    assert call(lambda: "done") == "done"


def test_a_context_is_found_by_annotation_wherever_it_stands() -> None:
    def first(context: Context) -> Job:
        return context.job

    def second(job: Job, context: Context) -> tuple[Job, Job]:
        return job, context.job

    def by_keyword(job: Job, *, about: Context) -> tuple[Job, Job]:
        return job, about.job

    assert call(first) is JOB
    assert call(second) == call(by_keyword) == (JOB, JOB)


def test_the_bindings_parameters_are_found_by_annotation() -> None:
    async def handler(job: Job, session: Session, context: Context, other: Session) -> None: ...

    assert read(handler) == Signature(
        takes_subject=True, context_parameter="context", resources={"session": Session, "other": Session}
    )


def test_a_session_may_come_first() -> None:
    async def handler(session: Session) -> None: ...

    assert read(handler) == Signature(False, None, {"session": Session})


def test_what_a_binding_cannot_give_such_a_handler_is_refused_by_name() -> None:
    def handler(job: Job, session: Session) -> None: ...

    with pytest.raises(
        RegistrationError, match=r"handler\(\) has the parameter session: .*\.Session: a Session is awaited"
    ):
        read(handler)


def test_annotations_may_be_text() -> None:
    async def handler(job: "Job", context: "Context", session: "Session") -> None: ...

    assert read(handler) == Signature(True, "context", {"session": Session})


def test_an_annotation_that_exists_for_type_checkers_only_does_no_harm() -> None:
    def handler(job: "Decimal") -> object:
        return job

    assert call(handler) is JOB


def test_an_annotation_for_type_checkers_does_not_hide_the_others() -> None:
    async def handler(job: "Decimal", context: Context, session: "Session") -> None: ...

    assert read(handler) == Signature(True, "context", {"session": Session})


@pytest.mark.parametrize(
    "wrap", [functools.partial, lambda handler: functools.wraps(handler)(lambda *a, **k: None)]
)
def test_text_is_understood_where_the_function_was_written(wrap: Callable[[Handler], Handler]) -> None:
    def handler(job: "Job", context: "Context") -> None: ...

    assert read(wrap(handler)) == Signature(True, "context", {})


def test_text_is_understood_in_a_callable_object() -> None:
    class Mailer:
        def __call__(self, job: "Job", context: "Context") -> None: ...

    assert read(Mailer()) == read(Mailer().__call__) == Signature(True, "context", {})


def test_a_schedule_is_given_in_place_of_the_job() -> None:
    def handler(schedule: Schedule) -> None: ...

    schedule = Schedule(1, "mail", "@daily", "UTC", NOON, NOON)
    assert read(handler).arguments(schedule, Context(JOB, schedule=schedule)) == ((schedule,), {})


def test_parameters_with_defaults_and_stars_are_left_alone() -> None:
    def handler(job: Job, retries: int = 3, *args: int, **options: int) -> tuple[object, ...]:
        return job, retries, args, options

    assert call(handler) == (JOB, 3, (), {})


def test_a_bound_method_does_not_count_self() -> None:
    class Mailer:
        def send(self, job: Job, context: Context) -> tuple[Job, Job]:
            return job, context.job

    assert call(Mailer().send) == (JOB, JOB)


def test_a_parameter_that_nothing_fills_is_refused() -> None:
    def handler(job: Job, clock: datetime) -> None: ...

    with pytest.raises(
        RegistrationError,
        match=r"handler\(\) has a parameter that nothing fills: clock: datetime\.datetime; .* by annotation: Context",
    ):
        read(handler)


class HasAnId(Protocol):
    id: int


class Payment(TypedDict):
    order_id: int


JOBS = [
    Job,
    Schedule,
    object,
    Any,
    Job | None,
    Job | Schedule,
    Optional["Job"],
    Annotated[Job, "x"],
    HasAnId,
]
OTHERS = [int, Payment, str, dict, dict[str, Any], list[int], int | None, Annotated[int, "x"], datetime]


@pytest.mark.parametrize("annotation", [*JOBS, "Job", "Decimal", "Decimal | None"], ids=str)
def test_a_first_parameter_that_may_be_the_job_is_given_it(annotation: object) -> None:
    def handler(job): ...

    handler.__annotations__["job"] = annotation
    Registry().entrypoint("pay")(handler)
    assert read(handler).takes_subject


@pytest.mark.parametrize("annotation", [*OTHERS, "int", "int | None"], ids=str)
def test_a_first_parameter_of_another_type_is_refused_where_the_handler_is_registered(
    annotation: object,
) -> None:
    def pay(order_id): ...

    pay.__annotations__["order_id"] = annotation
    words = (
        r"pay\(\) has the parameter order_id: .*the job, a pgq_orm\.models\.Job: .* write @task in place of"
    )
    with pytest.raises(RegistrationError, match=words):
        Registry().entrypoint("pay")(pay)
    with pytest.raises(RegistrationError, match=words):  # and of an executor that a function makes
        read(pay)


@pytest.mark.parametrize("mapped", [pgq_orm.sqlalchemy.Job, pgq_orm.sqlalchemy.Schedule])
def test_what_may_be_of_the_binding_is_refused_when_a_worker_starts(mapped: type) -> None:
    def handler(job): ...

    handler.__annotations__["job"] = mapped
    Registry().entrypoint("pay")(handler)
    with pytest.raises(RegistrationError, match=r"given the job, a pgq_orm\.models\.Job: "):
        read(handler)


def test_another_class_named_job_is_told_which_one_is_meant() -> None:
    class Job: ...

    def handler(job: Job) -> None: ...

    with pytest.raises(RegistrationError, match=r"a pgq_orm\.models\.Job: import Job from pgq_orm\.models$"):
        Registry().entrypoint("pay")(handler)


def test_an_executor_of_ones_own_may_call_the_handler_with_what_it_likes() -> None:
    class Pays(AbstractEntrypointExecutor):
        async def execute(self, job: Job, context: Context) -> Any:
            return self.parameters.func(job.arguments["order_id"])

    def pay(order_id: int) -> None: ...

    Registry().entrypoint("pay", executor_factory=Pays)(pay)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(RegistrationError, match="5 cannot be a handler"):
        read(5)  # type: ignore[arg-type]


async def an_async_function(job: Job) -> None: ...


def a_function(job: Job) -> None: ...


class AnAsyncCallable:
    async def __call__(self, job: Job) -> None: ...


class ACallable:
    def __call__(self, job: Job) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [an_async_function, functools.partial(an_async_function), AnAsyncCallable(), AnAsyncCallable().__call__],
)
def test_what_gives_a_coroutine_runs_on_the_loop(handler: Handler) -> None:
    assert is_async(handler)


@pytest.mark.parametrize(
    "handler", [a_function, functools.partial(a_function), ACallable(), ACallable().__call__]
)
def test_what_does_not_runs_in_a_thread(handler: Handler) -> None:
    assert not is_async(handler)


def test_a_handler_that_accepts_the_context_is_given_it_second_without_an_annotation() -> None:
    signature = read_signature(lambda job, surroundings: None, SessionScopes(), accepts_context=True)
    assert (signature.takes_subject, signature.context_parameter) == (True, "surroundings")


def test_an_annotation_decides_where_the_context_goes() -> None:
    def handler(job: Job, number: int = 7, *, context: Context) -> None: ...

    assert read_signature(handler, SessionScopes(), accepts_context=True).context_parameter == "context"


def test_a_handler_that_does_not_accept_the_context_is_not_given_it() -> None:
    def handler(job: Job, context: Context | None = None, other: Context = None) -> None:  # type: ignore[assignment]
        ...

    assert read_signature(handler, SessionScopes(), accepts_context=False).context_parameter is None


def test_a_context_that_was_promised_must_have_a_parameter() -> None:
    with pytest.raises(RegistrationError, match=r"no parameter for the Context.*add a second one"):
        read_signature(lambda job: None, SessionScopes(), accepts_context=True)


def test_a_context_that_was_refused_leaves_its_parameter_empty() -> None:
    def handler(job: Job, context: Context) -> None: ...

    with pytest.raises(RegistrationError, match="a parameter that nothing fills: context"):
        read_signature(handler, SessionScopes(), accepts_context=False)
