"""Errors: each is caught under the name of its kind, and carries what a program may want to know."""

import pytest

from pgq_orm import errors


def test_whatever_goes_wrong_on_purpose_is_a_pgq_error() -> None:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(found) > 5
    assert all(issubclass(kind, errors.PgqError) for kind in found)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.InvalidJobError, ValueError),
        (errors.RegistrationError, ValueError),
        (errors.SchemaVersionError, ValueError),
        (errors.SessionError, TypeError),
        (errors.UnknownEntrypointError, LookupError),
    ],
)
def test_misuse_is_also_what_python_calls_it(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)


def test_a_duplicate_names_its_keys_and_the_way_out() -> None:
    error = errors.DuplicateJobError(["a", "b"], 'pass on_conflict="skip"')
    assert error.dedupe_keys == ["a", "b"]
    assert str(error) == "dedupe_key already in use: 'a', 'b'; pass on_conflict=\"skip\""
