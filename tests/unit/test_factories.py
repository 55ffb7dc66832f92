"""Factories: a command line names a PgQueuer in any of the ways in which a program can make one."""

import re
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import create_engine

from pgq_orm import PgQueuer
from pgq_orm.errors import FactoryError
from pgq_orm.factories import load_factory, opened

PGQ = PgQueuer(
    create_engine("postgresql+psycopg://nobody@localhost/nothing")
)  # connects to nothing before run()
events: list[str] = []


def create_pgqueuer() -> PgQueuer:
    return PGQ


async def create_pgqueuer_async() -> PgQueuer:
    return PGQ


@contextmanager
def create_pgqueuer_and_clean_up() -> Iterator[PgQueuer]:
    events.append("opened")
    try:
        yield PGQ
    finally:
        events.append("closed")


@asynccontextmanager
async def create_pgqueuer_and_clean_up_async():
    with create_pgqueuer_and_clean_up() as pgq:
        yield pgq


async def create_pgqueuer_for_a_block():
    return create_pgqueuer_and_clean_up_async()


@pytest.fixture(autouse=True)
def no_events() -> None:
    events.clear()


@pytest.fixture
def this_module(monkeypatch: pytest.MonkeyPatch) -> str:
    """This module's name, importable like an application's."""
    monkeypatch.setitem(sys.modules, "shop", package := ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.jobs", sys.modules[__name__])
    package.__path__ = []
    return "shop.jobs"


@pytest.mark.parametrize("separator", [".", ":"])
@pytest.mark.parametrize("name", ["PGQ", "create_pgqueuer"])
def test_a_dot_and_a_colon_name_the_same(this_module: str, name: str, separator: str) -> None:
    assert load_factory(f"{this_module}{separator}{name}") is globals()[name]


@pytest.mark.parametrize(
    "factory",
    [
        PGQ,
        create_pgqueuer,
        create_pgqueuer_async,
        create_pgqueuer_and_clean_up,
        create_pgqueuer_and_clean_up_async,
        create_pgqueuer_for_a_block,
    ],
    ids=lambda factory: getattr(factory, "__name__", "an instance"),
)
async def test_every_kind_of_factory_gives_its_pgqueuer(factory: object) -> None:
    async with opened(factory) as pgq:
        assert pgq is PGQ


@pytest.mark.parametrize("factory", [create_pgqueuer_and_clean_up, create_pgqueuer_and_clean_up_async])
async def test_a_factory_that_opens_something_closes_it_afterwards(factory: object) -> None:
    async with opened(factory):
        assert events == ["opened"]
    assert events == ["opened", "closed"]


@pytest.mark.parametrize("factory", [create_pgqueuer_and_clean_up, create_pgqueuer_and_clean_up_async])
async def test_it_is_closed_when_the_worker_fails_too(factory: object) -> None:
    with pytest.raises(LookupError):
        async with opened(factory):
            raise LookupError
    assert events == ["opened", "closed"]


@contextmanager
def create_nothing() -> Iterator[None]:
    yield


@pytest.mark.parametrize("factory", [5, lambda: None, create_nothing])
async def test_a_factory_of_something_else_is_refused(factory: object) -> None:
    with pytest.raises(
        FactoryError, match=r"the factory gave .*, expected a PgQueuer: return it, or yield it"
    ):
        async with opened(factory):
            pass


@pytest.mark.parametrize("path", ["", ":pgq", "jobs:", ".pgq", "jobs.", "jobs pgq"])
def test_half_a_name_is_refused(path: str) -> None:
    with pytest.raises(FactoryError, match=r"cannot read '.*': expected 'package\.module:name'"):
        load_factory(path)


def test_a_missing_module_is_named(this_module: str) -> None:
    with pytest.raises(
        FactoryError, match=r"no module named 'shop\.job': .*the current directory is searched"
    ):
        load_factory("shop.job:create_pgqueuer")
    with pytest.raises(FactoryError, match="no module named 'shopp'"):
        load_factory("shopp.jobs:create_pgqueuer")


def test_a_typo_is_met_with_the_name_that_was_meant(this_module: str) -> None:
    with pytest.raises(
        FactoryError,
        match=r"module 'shop\.jobs' has no 'create_pgqeuer': did you mean 'shop\.jobs:create_pgqueuer'\?",
    ):
        load_factory("shop.jobs:create_pgqeuer")


def test_a_name_like_no_other_is_told_the_pgqueuer_that_there_is(this_module: str) -> None:
    with pytest.raises(FactoryError, match=r"module 'shop\.jobs' has no 'xyz': run `pgq run .*:PGQ`$"):
        load_factory("shop.jobs:xyz")


def test_a_module_that_the_application_itself_misses_is_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs_without_stripe.py").write_text("import stripe_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="stripe_that_is_not_there"):
        load_factory("jobs_without_stripe:create_pgqueuer")


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("jobs.py:pgq", "jobs:pgq"),
        ("jobs.py", "jobs:pgq"),
        ("./jobs:pgq", "jobs:pgq"),
        ("./shop/jobs.py:tasks", "shop.jobs:tasks"),
    ],
)
def test_the_path_of_a_file_is_told_the_modules_name(path: str, command: str) -> None:
    with pytest.raises(
        FactoryError, match=rf"'{re.escape(path)}' is the path of a file: .*: run `pgq run {command}`$"
    ):
        load_factory(path)


PROGRAM = """
from pgq_orm.registry import Registry
from sqlalchemy import create_engine

class WebApplication:
    def __call__(self, scope, receive, send): ...

app = WebApplication()
engine = create_engine("postgresql+psycopg://nobody@localhost/nothing")
registry = Registry()

@registry.task
def pay(order_id: int) -> None: ...

def make(url): ...
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package `bakery` with a module `jobs`, in which there is no PgQueuer."""
    package = tmp_path / "bakery"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "jobs.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "bakery"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (":app", r"bakery\.jobs\.WebApplication"),
        (":engine", r"sqlalchemy\.engine\.base\.Engine"),
        (":registry", r"pgq_orm\.registry\.Registry"),
        (":pay", r"pgq_orm\.tasks\.Task"),
        ("", "module"),
    ],
)
@pytest.mark.usefixtures("program")
def test_what_can_be_no_factory_is_told_what_to_run_instead(name: str, kind: str) -> None:
    found = f"'bakery.jobs{name}' is a {kind}, expected a PgQueuer or a function that makes one: "
    arguments = "engine, registry=…" if name == ":registry" else "engine"
    remedy = re.escape(f"write `pgq = PgQueuer({arguments})` there, and run `pgq run bakery.jobs:pgq`")
    with pytest.raises(FactoryError, match=f"^{found}{remedy}$"):
        load_factory(f"bakery.jobs{name}")
    vars(sys.modules["bakery.jobs"])["queuer"] = PGQ
    with pytest.raises(FactoryError, match=f"^{found}run `pgq run bakery.jobs:queuer`$"):
        load_factory(f"bakery.jobs{name}")


@pytest.mark.usefixtures("program")
def test_a_factory_that_wants_arguments_is_refused() -> None:
    with pytest.raises(
        FactoryError,
        match=r"'bakery.jobs:make' cannot be called without arguments.*'url'.*`pgq run bakery.jobs:make_pgq`$",
    ):
        load_factory("bakery.jobs:make")
