"""Snippets: a document's own text, run with nothing changed but the lines that a test names."""

import ast
from collections.abc import Mapping
from typing import Any


def replaced(snippet: str, lines: Mapping[str, str]) -> str:
    """The snippet with whole lines replaced; each of them must be there."""
    text = snippet.strip("\n").splitlines()
    missing = [line for line in lines if line not in text]
    assert not missing, f"not in the snippet: {missing}"
    return "\n".join(lines.get(line, line) for line in text) + "\n"


async def run(snippet: str, names: dict[str, Any], lines: Mapping[str, str] | None = None) -> None:
    """Runs the snippet, in which one may await, among these names; what it defines is among them afterwards."""
    code = compile(replaced(snippet, lines or {}), "snippet", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, names)
    if running is not None:
        await running
