"""Wire: a way to the database that a test can cut, or let go dumb."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

T = TypeVar("T")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Wire:
    """A proxy before a server. Each method holds from when it returns."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self._server = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
        self._directory = directory
        self._loop = asyncio.new_event_loop()
        self._requests, self._replies = asyncio.Event(), asyncio.Event()  # set: they flow
        self._is_cut = False
        self._ends: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)

    @property
    def dsn(self) -> str:
        """Leads through the wire to the same database."""
        user = quote(self._server.get("user", ""))
        password = f":{quote(self._server['password'])}" if "password" in self._server else ""
        name = quote(self._server["dbname"])
        return f"postgresql://{user}{password}@/{name}?host={quote(str(self._directory), safe='/')}&port=5432"

    def cut(self) -> None:
        """Every connection breaks, and no new one comes about."""

        def cut() -> None:
            self._is_cut = True
            self._break()

        self._call(cut)

    def drop(self) -> None:
        """Every connection breaks; new ones are welcome."""
        self._call(self._break)

    def freeze(self) -> None:
        """Every connection, new ones too, looks well and carries nothing in either direction."""

        def freeze() -> None:
            self._requests.clear()
            self._replies.clear()

        self._call(freeze)

    def deafen(self) -> None:
        """Requests arrive, replies do not."""
        self._call(self._replies.clear)

    def mend(self) -> None:
        """All is well again. What had been held up arrives."""

        def mend() -> None:
            self._is_cut = False
            self._flow()

        self._call(mend)

    def _flow(self) -> None:
        self._requests.set()
        self._replies.set()

    def open(self) -> None:
        self._thread.start()
        self._call(self._flow)
        serving = asyncio.start_unix_server(self._serve, self._directory / ".s.PGSQL.5432")
        self._listening = asyncio.run_coroutine_threadsafe(serving, self._loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._listening.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._break()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        if self._is_cut:
            self._break()
            return
        with suppress(OSError):
            beyond, server = await self._connect()
            self._ends.add(server)
            pumps = [
                asyncio.create_task(_pump(reader, server, self._requests)),
                asyncio.create_task(_pump(beyond, writer, self._replies)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                for end in (writer, server):
                    end.transport.abort()
                    self._ends.discard(end)

    async def _connect(self) -> Streams:
        host, port = self._server.get("host", "localhost"), self._server.get("port", "5432")
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, int(port))

    def _break(self) -> None:
        while self._ends:
            self._ends.pop().transport.abort()

    def _call(self, call: Callable[[], Any]) -> None:
        done = threading.Event()

        def run() -> None:
            call()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10), "the wire's own loop hangs"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
    while data := await reader.read(65536):
        await flows.wait()
        writer.write(data)
        await writer.drain()


@contextmanager
def wire_to(dsn: str) -> Iterator[Wire]:
    """A wire to the database, for as long as the block lasts."""
    # Not pytest's tmp_path: a socket's name may have a hundred characters.
    directory = tempfile.mkdtemp(prefix="wire-")
    wire = Wire(dsn, Path(directory))
    wire.open()
    try:
        yield wire
    finally:
        wire.close()
        shutil.rmtree(directory)
