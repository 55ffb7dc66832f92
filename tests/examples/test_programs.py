"""The demo's programs: one that fails says why, and none outlives the demo."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from example_project.demo.failure import Failure
from example_project.demo.programs import Programs


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path, {})
    yield programs
    programs.stop()


def test_a_program_that_fails_shows_the_end_of_its_log(programs: Programs) -> None:
    with pytest.raises(Failure, match="migrate failed") as raised:
        programs.run("migrate", "-uc", "for n in range(99): print(n)\nraise SystemExit('no such database')")
    assert raised.value.tail.splitlines()[-1] == "no such database"
    assert len(raised.value.tail.splitlines()) == 30


def test_a_program_that_ends_by_itself_is_noticed(programs: Programs) -> None:
    worker = programs.start("worker", "-c", "print('out of coffee'); raise SystemExit(3)")
    with pytest.raises(Failure, match="worker ended by itself, with status 3") as raised:
        worker.wait_for("(ready)")
    assert raised.value.tail == "out of coffee"


def test_what_a_program_writes_is_waited_for(programs: Programs) -> None:
    shop = programs.start("shop", "-uc", "print('running on port 8123'); import signal; signal.pause()")
    assert shop.wait_for(r"port (\d+)") == "8123"
    programs.require_running()


def test_a_program_that_does_not_want_to_stop_is_killed(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("example_project.demo.programs.STOP_SECONDS", 0.1)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); signal.pause()"
    worker = programs.start("worker", "-uc", stubborn)
    worker.wait_for("(up)")
    assert worker.stop() == -9
    assert worker.stop() == -9
