"""Arguments: what fits a function's annotations is kept as JSON and comes back as it was; the rest is refused."""

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Strict
from sqlalchemy.orm import Session

from pgq_orm import INJECTED, Registry
from pgq_orm.errors import InvalidJobError, NotInjectedError, RegistrationError
from pgq_orm.models import Context
from pgq_orm.outcomes import Cancel, InvalidArgumentsError, Snooze
from pgq_orm.storable import dump_json
from pgq_orm.tasks import Task
from pgq_orm.validation import jsonable
from tests.tasks.shop import Address, Colour, Line, send_receipt

if TYPE_CHECKING:
    from fractions import Fraction as Missing

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Size(IntEnum):
    SMALL = 1


class Point(NamedTuple):
    x: int
    y: float


class Strictly(BaseModel):
    model_config = ConfigDict(strict=True)
    at: datetime
    by: Decimal


class Named(BaseModel):
    name: str
    size: int = 1

    @property
    def shown(self) -> str:
        return self.name


def task_of(annotation: Any) -> Task[..., Any, int]:
    def take(value: Any) -> None: ...

    take.__annotations__ = {"value": annotation}
    return Registry().task(take)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 7),
        (float, 0.1),
        (bool, False),
        (str, "Grüße ✓"),
        (bytes, b"abc"),
        (datetime, NOON),
        (date, NOON.date()),
        (time, NOON.time()),
        (timedelta, timedelta(days=1, microseconds=3)),
        (UUID, UUID(int=5)),
        (Decimal, Decimal("19.90")),
        (Colour, Colour.BLUE),
        (Size, Size.SMALL),
        (Literal["a", "b"], "b"),
        (Line, Line("cup", Decimal("5.00"), [Colour.RED])),
        (Address, Address(Street="Ring 1", since=NOON.date())),
        (Strictly, Strictly(at=NOON, by=Decimal("1.5"))),
        (Annotated[datetime, Strict()], NOON),
        (Point, Point(1, 2.5)),
        (int | None, None),
        (UUID | None, UUID(int=5)),
        (list[Line], [Line("cup", Decimal(5))]),
        (dict[int, Decimal], {7: Decimal("0.1")}),
        (set[date], {NOON.date()}),
        (tuple[int, str], (1, "one")),
        (frozenset[int], frozenset({1, 2})),
        (list[dict[str, Address | None]], [{"home": Address(Street="Ring 1"), "work": None}]),
        (Any, {"json": [1, None]}),
    ],
)
def test_a_value_comes_back_as_it_was(annotation: Any, value: object) -> None:
    task = task_of(annotation)
    arguments = task.call(value).arguments
    dump_json(arguments)
    read = task.parameters.from_json(arguments)["value"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "seven"),
        (int, None),
        (datetime, "yesterday"),
        (float, float("nan")),
        (str, "a\0b"),
        (str, "\ud800"),
        (bytes, b"\xff"),
        (list[int], [1, "two"]),
        (Line, {"sku": "cup"}),
        (Named, Named.model_construct(name=object())),
        (Any, object()),
    ],
)
def test_what_does_not_fit_is_refused(annotation: Any, value: object) -> None:
    with pytest.raises(InvalidJobError, match=r"^take\(\) cannot be enqueued with these arguments: .+"):
        task_of(annotation).call(value)


@pytest.mark.parametrize(
    ("args", "kwargs", "complaint"),
    [
        ((), {}, "missing a required argument: 'order_id'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((), {"order": 1}, "got an unexpected keyword argument 'order': did you mean 'order_id'?"),
        ((1,), {"xyz": 1}, "got an unexpected keyword argument 'xyz': it takes order_id"),
        ((0,), {}, "order_id: Input should be greater than 0, not 0"),
        (("x" * 500,), {}, "not '" + "x" * 79 + "…"),
    ],
)
def test_the_refusal_says_what_was_found_and_expected(args: Any, kwargs: Any, complaint: str) -> None:
    with pytest.raises(InvalidJobError) as refused:
        send_receipt.call(*args, **kwargs)
    assert complaint in str(refused.value)
    assert str(refused.value).startswith("send_receipt()")


def test_what_the_caller_leaves_out_is_left_to_the_function() -> None:
    assert send_receipt.call(7).arguments == {"order_id": 7}
    assert send_receipt.call(copies=2, order_id=7).arguments == {"copies": 2, "order_id": 7}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"order_id": "seven"}, "order_id: Input should be a valid integer"),
        ({}, "order_id: Field required"),
        ({"order_id": 7, "email": "a@b"}, "email: Extra inputs are not permitted, not 'a@b'"),
        ([7], "Input should be an object"),
    ],
)
def test_a_jobs_arguments_that_do_not_fit_are_named(arguments: object, complaint: str) -> None:
    with pytest.raises(InvalidArgumentsError) as refused:
        send_receipt.parameters.from_json(arguments)
    assert complaint in str(refused.value)
    assert "send_receipt() does not take this job's arguments" in str(refused.value)


def test_what_the_worker_fills_is_not_for_the_caller() -> None:
    @Registry().task
    def close(
        day: date, session: Session = INJECTED, context: Context = INJECTED, force: bool = False
    ) -> None: ...

    assert close.call(NOON.date(), force=True).arguments == {"day": "2026-01-01", "force": True}
    with pytest.raises(InvalidJobError, match="given session, context, which the worker fills: leave it out"):
        close.call(NOON.date(), Session(), None)  # type: ignore[arg-type]


def test_a_session_that_is_not_marked_is_refused_where_the_task_is_declared() -> None:
    with pytest.raises(RegistrationError, match=r"'session' of Session.*write `session: Session = INJECTED`"):

        @Registry().task
        def close(day: date, session: Session) -> None: ...


@pytest.mark.parametrize("stars", ["*numbers", "**numbers", "number, /"])
def test_parameters_without_a_name_of_their_own_are_refused(stars: str) -> None:
    names: dict[str, Any] = {}
    exec(f"def add({stars}): ...", names)
    with pytest.raises(RegistrationError, match="arguments are kept by their names"):
        Registry().task(names["add"])


@pytest.mark.parametrize("given", [5, int, print, send_receipt.call])
def test_only_functions_are_tasks(given: Any) -> None:
    with pytest.raises(RegistrationError, match="a task is made of a function, not of"):
        Registry().task()(given)


def test_annotations_may_name_what_is_defined_later() -> None:
    names: dict[str, Any] = {"registry": Registry(), "__name__": "a_module"}
    exec("@registry.task\ndef take(value: 'list[Later]') -> None: ...\nLater = int", names)
    assert names["take"].call([5]).arguments == {"value": [5]}


def test_an_annotation_for_type_checkers_only_is_refused_when_it_is_needed() -> None:
    @Registry().task
    def take(value: "Missing") -> None: ...

    with pytest.raises(RegistrationError, match=r"an annotation of task take\(\) cannot be read: .*Missing"):
        take.call(Fraction(1))


@pytest.mark.parametrize("name", ["json", "copy", "schema", "model_fields", "self", "pgq_subject", "name"])
def test_a_parameter_may_have_any_name(name: str) -> None:
    names: dict[str, Any] = {"registry": Registry()}
    exec(f"@registry.task\ndef take({name}: int) -> int: return {name}", names)
    assert names["take"].parameters.from_json(names["take"].call(5).arguments) == {name: 5}


def test_a_direct_call_says_what_it_lacks() -> None:
    @Registry().task
    def close(session: Session = INJECTED) -> None:
        session.flush()

    with pytest.raises(NotInjectedError, match=r"'flush' was looked for on INJECTED.*must pass one"):
        close()
    close(session=Session())


@pytest.mark.parametrize(
    ("returned", "kept"),
    [
        (Decimal("1.5"), "1.5"),
        (Line("cup", Decimal(5), [Colour.RED]), {"sku": "cup", "price": "5", "colours": ["red"]}),
        (Named(name="a"), {"name": "a", "size": 1}),
        ([NOON], ["2026-01-01T12:00:00Z"]),
        (None, None),
    ],
)
def test_what_a_task_returns_is_kept_as_json(returned: object, kept: object) -> None:
    assert jsonable(returned) == kept


def test_verdicts_and_what_is_no_json_stay_as_they_are() -> None:
    for value in (Snooze(timedelta(1)), Cancel("no"), object()):
        assert jsonable(value) is value


def test_without_pydantic_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["pydantic"] = None
from pgq_orm import Registry

@Registry().entrypoint("plain")
def plain(job): ...

try:
    @Registry().task
    def send(order_id: int): ...
except Exception as error:
    print(error)
"""
    printed = subprocess.check_output([sys.executable, "-W", "error", "-c", program], text=True)
    assert "pip install 'pgq-orm[tasks]'" in printed


def test_nobody_imports_pydantic_who_has_no_task() -> None:
    program = "import sys, pgq_orm, pgq_orm_django; print('pydantic' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


def test_a_class_of_its_own_is_read_by_its_fields_and_not_by_their_aliases() -> None:
    @Registry().task
    def move(to: Address) -> None: ...

    assert move.call(Address(Street="Ring 1")).arguments == {"to": {"street": "Ring 1", "since": None}}
    for spelling in ("street", "Street"):
        assert move.parameters.from_json({"to": {spelling: "Ring 1"}}) == {"to": Address(Street="Ring 1")}
