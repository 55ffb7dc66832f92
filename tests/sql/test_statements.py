"""Every statement is one that the server accepts, whoever sends it and in whichever spelling of parameters."""

import inspect
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from pgq_orm import administration, operations, orchestration, queues
from pgq_orm.sql import Statement, names, statement
from tests.sql.prepared import parameters, prepare

every_statement = pytest.mark.parametrize("of", [statement(name) for name in names()], ids=names())


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@every_statement
def test_the_server_prepares_it_and_knows_the_type_of_each_parameter(
    of: Statement, connection: psycopg.Connection
) -> None:
    types = prepare(connection, of)
    assert len(types) == len(parameters(of))
    assert "unknown" not in types


@every_statement
def test_each_parameter_is_cast_where_it_is_used(of: Statement) -> None:
    uses = re.findall(r"(?<![:\w]):[a-z_]+", of.text)
    assert len(re.findall(r"CAST\(:[a-z_]+ AS [a-z ]+(?:\[\])?\)", of.text)) == len(uses)


@every_statement
def test_both_spellings_of_the_parameters_say_the_same(of: Statement) -> None:
    assert of.pyformat % {name: f":{name}" for name in parameters(of)} == of.text


@every_statement
def test_sqlalchemy_finds_the_same_parameters(of: Statement) -> None:
    assert list(text(of.text).compile().params) == parameters(of)


@every_statement
def test_it_is_one_statement_without_comments_between_its_lines(of: Statement) -> None:
    assert ";" not in of.text
    assert not re.search(r"^\s*--", of.text, re.MULTILINE)


@every_statement
def test_it_says_what_it_guarantees(of: Statement) -> None:
    file = files("pgq_orm.sql").joinpath(f"{of.name}.sql")
    assert file.read_text(encoding="utf-8").startswith("-- ")


@every_statement
def test_an_operation_uses_it(of: Statement) -> None:
    modules = (administration, orchestration, queues)
    sources = [inspect.getsource(module) for module in modules]
    sources += [file.read_text(encoding="utf-8") for file in Path(str(files(operations))).glob("*.py")]
    assert any(f'"{of.name}"' in source for source in sources)
