"""Settings: what `settings.PGQ` may say, with its defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS


@dataclass(frozen=True, slots=True)
class Settings:
    """`settings.PGQ`, checked. A key is its field's name in capitals: `PGQ = {"STRICT_ENTRYPOINTS": False}`."""

    database: str = DEFAULT_DB_ALIAS
    """The alias of the database that holds the queue, unless a router names another."""
    strict_entrypoints: bool = True
    """Whether enqueueing for an entrypoint that no `tasks` module registers is an error.

    Turn it off where jobs are handled by a program that this project cannot import.
    """


@cache
def current() -> Settings:
    """The settings in force.

    Raises ImproperlyConfigured with every fault found, rather than with the first.
    """
    given = getattr(settings, "PGQ", {})
    if faults := list(find_faults(given)):
        raise ImproperlyConfigured("settings.PGQ: " + "; ".join(faults))
    return Settings(**{key.lower(): value for key, value in given.items()})


def find_faults(given: object, known: type[Any] = Settings) -> list[str]:
    """What is wrong with a value of `settings.PGQ`, one sentence a fault; or with that of another dict of settings."""
    kinds = {field.name.upper(): field.type for field in fields(known)}
    if not isinstance(given, Mapping):
        return [f"expected a dict with keys such as {next(iter(kinds))!r}, found {type(given).__name__}"]
    faults = []
    for key, value in given.items():
        if key not in kinds:
            faults.append(_unknown_key(key, list(kinds)))
        elif type(value) is not kinds[key]:
            faults.append(f"{key} must be of type {_name(kinds[key])}, found {value!r}")
    return faults


def _unknown_key(key: object, known: list[str]) -> str:
    close = get_close_matches(str(key).upper(), known, n=1)
    guess = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(map(repr, known))}"
    return f"unknown key {key!r}: {guess}"


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))


def _forget(*, setting: str, **_: object) -> None:
    if setting == "PGQ":
        current.cache_clear()


setting_changed.connect(_forget, dispatch_uid="pgq_orm_django.conf")
