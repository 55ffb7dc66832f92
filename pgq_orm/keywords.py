"""Keywords: those that a function does not take are told which ones were meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def unexpected(function: str, given: Iterable[str], known: Iterable[str]) -> TypeError:
    """Python's own error for such keywords, with a guess for each that is nearly one of those that are known."""
    names, known = sorted(given), list(known)
    meant = dict.fromkeys(match for name in names for match in get_close_matches(name, known, n=1))
    guess = f": did you mean {', '.join(map(repr, meant))}?" if meant else ""
    return TypeError(f"{function}() got an unexpected keyword argument: {', '.join(names)}{guess}")
