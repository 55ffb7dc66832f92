import tarfile
import zipfile
from importlib.metadata import PathDistribution
from pathlib import PurePosixPath

import pytest

import pgq_orm
from tests.packaging.conftest import CHECKOUT, Distribution

pytestmark = [pytest.mark.packaging, pytest.mark.xdist_group("packaging"), pytest.mark.timeout(120)]


def test_the_wheel_has_every_file_of_the_two_packages_and_no_other(distribution: Distribution) -> None:
    files = set(zipfile.ZipFile(distribution.wheel).namelist())
    metadata = {name for name in files if PurePosixPath(name).parts[0].endswith(".dist-info")}

    assert files - metadata == _package_files()


def test_the_sdist_adds_only_what_a_reader_and_a_builder_need(distribution: Distribution) -> None:
    with tarfile.open(distribution.sdist) as archive:
        root, *_ = archive.getnames()[0].split("/")
        files = {member.name.removeprefix(f"{root}/") for member in archive.getmembers() if member.isfile()}

    extra = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert files - extra == _package_files()
    assert extra - files == set()


def test_every_statement_and_migration_is_among_them() -> None:
    files = _package_files()
    for pattern in (
        "pgq_orm/sql/*.sql",
        "pgq_orm/sql/schema/*.sql",
        "pgq_orm/sqlalchemy/migrations/versions/*.py",
        "pgq_orm_django/migrations/0*.py",
        "pgq_orm/py.typed",
        "pgq_orm_django/py.typed",
    ):
        assert any(PurePosixPath(name).match(pattern) for name in files), pattern


def test_its_version_is_the_one_that_the_package_tells(distribution: Distribution) -> None:
    assert distribution.wheel.name.startswith(f"pgq_orm-{pgq_orm.__version__}-")


def test_the_command_the_pytest_plugin_and_the_licence_are_declared(distribution: Distribution) -> None:
    wheel = zipfile.ZipFile(distribution.wheel)
    metadata = PathDistribution(zipfile.Path(wheel, f"pgq_orm-{pgq_orm.__version__}.dist-info/"))

    assert {(entry.group, entry.name, entry.value) for entry in metadata.entry_points} == {
        ("console_scripts", "pgq", "pgq_orm.cli:main"),
        ("pytest11", "pgq_orm", "pgq_orm.pytest_plugin"),
    }
    assert metadata.metadata["License-Expression"] == "MIT"


def _package_files() -> set[str]:
    return {
        path.relative_to(CHECKOUT).as_posix()
        for package in ("pgq_orm", "pgq_orm_django")
        for path in (CHECKOUT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
