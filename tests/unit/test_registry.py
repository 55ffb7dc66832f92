"""The registry: each name has one handler, and what cannot work is refused where it is declared."""

import re
from collections.abc import Callable
from datetime import timedelta
from types import CodeType, ModuleType
from typing import Any

import pytest

from pgq_orm.errors import RegistrationError, UnknownEntrypointError
from pgq_orm.registry import Registry, ScheduleEntry
from pgq_orm.retries import Backoff, RetryPolicy


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def send_mail(job: object) -> None: ...


async def send_letter(job: object) -> None: ...


def test_a_decorated_function_stays_what_it_was_and_handles_its_name(registry: Registry) -> None:
    assert registry.entrypoint("mail")(send_mail) is send_mail
    assert registry.require("mail").handler is send_mail


def test_without_further_words_a_job_is_tried_once(registry: Registry) -> None:
    registry.entrypoint("mail")(send_mail)
    assert registry.require("mail").retries == RetryPolicy()
    assert not RetryPolicy().grants(ValueError(), failures=1, max_attempts=None)


def test_a_name_belongs_to_one_function(registry: Registry) -> None:
    registry.entrypoint("mail")(send_mail)
    with pytest.raises(
        RegistrationError, match=r"'mail' is taken by .*test_registry\.send_mail, line \d+: give this"
    ):
        registry.entrypoint("mail")(send_letter)
    assert registry.require("mail").handler is send_mail


MODULE = compile("def send(order_id: int) -> None: ...", "shop/tasks.py", "exec")
CHANGED = compile("\n\ndef send(order_id: str) -> None: ...", "shop/tasks.py", "exec")
TYPED_AGAIN = compile("\n\ndef send(order_id: str) -> None: ...", "<input 2>", "exec")


def sent_of(code: CodeType) -> Callable[..., None]:
    module: dict[str, Any] = {"__name__": "shop.tasks"}
    exec(code, module)
    send: Callable[..., None] = module["send"]
    return send


@pytest.mark.parametrize("code", [MODULE, TYPED_AGAIN], ids=["a module", "a console's input"])
def test_what_is_executed_again_declares_the_same_function(registry: Registry, code: CodeType) -> None:
    registry.task(sent_of(MODULE))
    again = registry.task(sent_of(code))
    assert registry.require("send").handler is again.handler


def test_two_functions_of_one_name_in_a_module_are_two(registry: Registry) -> None:
    first = registry.task(sent_of(MODULE))
    with pytest.raises(
        RegistrationError, match=r"'send' is taken by shop\.tasks\.send, line 1: give this handler"
    ):
        registry.task(sent_of(CHANGED))
    assert registry.require("send").handler is first.handler


@pytest.mark.parametrize("given", [send_mail, None, "mail"])
def test_what_is_no_registry_is_not_included(registry: Registry, given: Any) -> None:
    with pytest.raises(TypeError, match="expected a Registry, where handlers are registered, not "):
        registry.include(given)


def test_what_has_a_registry_is_told_so(registry: Registry) -> None:
    module = ModuleType("tasks")
    vars(module)["tasks"] = registry
    with pytest.raises(TypeError, match=r"not <module 'tasks'>; its 'tasks' is one$"):
        registry.include(module)  # type: ignore[arg-type]


def test_one_alias_may_be_given_without_a_list(registry: Registry) -> None:
    @registry.task(aliases="letter")
    async def mail() -> None: ...

    assert set(registry.entrypoints) == {"mail", "letter"}


def test_one_function_may_have_several_names(registry: Registry) -> None:
    registry.entrypoint("mail")(registry.entrypoint("letter")(send_mail))
    assert registry.require("mail").handler is registry.require("letter").handler


@pytest.mark.parametrize("name", ["", "x" * 501, "a\0b", None, 5, b"mail"])
def test_an_unusable_name_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(RegistrationError, match="must be a string of 1 to 500 characters, not"):
        registry.entrypoint(name)


def test_forgetting_the_name_is_explained(registry: Registry) -> None:
    with pytest.raises(RegistrationError, match=r"write @pgq\.entrypoint\('name'\) above the function"):
        registry.entrypoint(send_mail)  # type: ignore[arg-type]


def test_a_job_is_tried_at_least_once(registry: Registry) -> None:
    with pytest.raises(RegistrationError, match="max_attempts must be a positive integer, not 0"):
        registry.entrypoint("mail", max_attempts=0)


def test_a_timeout_is_a_positive_timedelta(registry: Registry) -> None:
    with pytest.raises(RegistrationError, match="timeout must be a positive timedelta"):
        registry.entrypoint("mail", timeout=timedelta(0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 5}, "timeout must be a timedelta, such as timedelta(seconds=5), not 5"),
        ({"retry_timer": 0.5}, "retry_timer must be a timedelta, such as timedelta(seconds=0.5), not 0.5"),
        ({"backoff": 2}, "backoff must be a Backoff, such as Backoff(initial=timedelta(seconds=2)), not 2"),
        ({"backoff": Backoff}, "backoff must be a Backoff, such as"),
        (
            {"retry_on": ("OSError",)},
            "retry_on must be a tuple of exception classes, such as (OSError,), not",
        ),
        ({"dont_retry_on": OSError()}, "dont_retry_on must be a tuple of exception classes"),
    ],
)
def test_what_would_fail_with_the_first_job_is_refused(registry: Registry, options: Any, said: str) -> None:
    with pytest.raises(RegistrationError, match=re.escape(said)):
        registry.entrypoint("mail", **options)(send_mail)


@pytest.mark.parametrize("given", [OSError, [OSError], {OSError}])
def test_exceptions_may_be_given_alone_or_in_any_list(registry: Registry, given: Any) -> None:
    registry.entrypoint("mail", max_attempts=2, retry_on=given)(send_mail)
    assert registry.require("mail").retries.retry_on == (OSError,)


def test_a_misspelt_option_is_refused(registry: Registry) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument: retries"):
        registry.entrypoint("mail", retries=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"argument: max_attempt: did you mean 'max_attempts'\?$"):
        registry.entrypoint("mail", max_attempt=3)  # type: ignore[call-arg]


def test_an_unknown_entrypoint_names_the_known_ones_and_the_one_that_was_meant(registry: Registry) -> None:
    registry.entrypoint("send_mail")(send_mail)
    registry.entrypoint("archive")(send_letter)
    with pytest.raises(UnknownEntrypointError) as refusal:
        registry.require("sendmail")
    assert str(refusal.value) == (
        "no handler for entrypoint 'sendmail': did you mean 'send_mail'? "
        "import the module that registers it first (registered: 'archive', 'send_mail')"
    )


def test_an_empty_registry_says_so(registry: Registry) -> None:
    with pytest.raises(UnknownEntrypointError, match=r"\(registered: none\)"):
        registry.require("mail")


def test_a_schedule_registers_its_handler_too(registry: Registry) -> None:
    assert registry.schedule("mail", "@daily", max_attempts=3)(send_mail) is send_mail
    assert registry.require("mail").retries.max_attempts == 3
    assert list(registry.schedules.values()) == [
        ScheduleEntry("mail", "@daily", timezone="UTC", catch_up="latest", queue="default")
    ]


def test_a_function_may_have_several_schedules(registry: Registry) -> None:
    registry.schedule("mail", "0 8 * * *")(registry.schedule("mail", "0 20 * * *")(send_mail))
    assert set(registry.schedules) == {("mail", "0 8 * * *"), ("mail", "0 20 * * *")}


def test_an_entrypoint_may_be_scheduled_as_well(registry: Registry) -> None:
    registry.schedule("mail", "@daily")(registry.entrypoint("mail", max_attempts=7)(send_mail))
    assert registry.require("mail").retries.max_attempts == 7


def test_a_schedule_cannot_take_another_functions_name(registry: Registry) -> None:
    registry.entrypoint("mail")(send_mail)
    with pytest.raises(RegistrationError, match="'mail' is taken by"):
        registry.schedule("mail", "@daily")(send_letter)
    assert not registry.schedules


def test_a_schedule_without_a_cron_expression_is_refused(registry: Registry) -> None:
    with pytest.raises(RegistrationError, match="not a cron expression: 'daily'"):
        registry.schedule("mail", "daily")


def test_a_schedule_in_an_unknown_zone_is_refused(registry: Registry) -> None:
    with pytest.raises(RegistrationError, match="unknown time zone: 'Vienna'"):
        registry.schedule("mail", "@daily", timezone="Vienna")


def test_an_unknown_way_to_catch_up_is_refused(registry: Registry) -> None:
    with pytest.raises(RegistrationError, match="catch_up must be one of latest, all, none, not 'some'"):
        registry.schedule("mail", "@daily", catch_up="some")  # type: ignore[arg-type]
