"""Probe: tells over HTTP whether a worker's process lives and works, from a thread that no handler can block."""

import json
import logging
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6

from pgq_orm.errors import ProbeError
from pgq_orm.journal import tell
from pgq_orm.processes import metrics
from pgq_orm.processes.health import Health

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 5.0
"""How long a caller may take to say what it wants."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the probe answers."""

    host: str
    port: int


@contextmanager
def probed(address: Address | None, ask: Callable[[], Sequence[Health]]) -> Iterator[None]:
    """Answers probes during the block, if there is an address. Raises ProbeError if it cannot be had."""
    if address is None:
        yield
        return
    server = _open(address, ask)
    threading.Thread(target=server.serve_forever, name="pgq-probe", daemon=True).start()
    tell(
        logger,
        logging.INFO,
        "Probe answers on http://%s:%d/livez, /readyz and /metrics",
        address.host,
        server.server_port,
    )
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told to whoever asks for a path."""

    status: HTTPStatus
    content: str
    content_type: str = "application/json"


def answer(path: str, processes: Sequence[Health]) -> Answer:
    """What there is at a path.

    /livez is well while no process has to be killed; /readyz while at least one takes jobs.
    """
    match path:
        case "/livez":
            return _told("alive", all(health.is_alive for health in processes), processes)
        case "/readyz":
            return _told("ready", any(health.is_ready for health in processes), processes)
        case "/metrics":
            return Answer(HTTPStatus.OK, metrics.exposition(processes), metrics.CONTENT_TYPE)
        case _:
            error = {"error": f"nothing at {path}: ask for /livez, /readyz or /metrics"}
            return Answer(HTTPStatus.NOT_FOUND, json.dumps(error))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: Address, ask: Callable[[], Sequence[Health]]) -> None:
        self.address_family = AF_INET6 if ":" in address.host else AF_INET
        self.ask = ask
        super().__init__((address.host, address.port), _Request)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the name service for the host's name, and may wait for it long.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        tell(logger, logging.DEBUG, "Probe could not answer %s", client_address, exc_info=sys.exception())


class _Request(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS
    server_version, sys_version = "pgq", ""

    def do_GET(self) -> None:
        answered = answer(self.path.partition("?")[0], self.server.ask())
        content = answered.content.encode()
        self.send_response(answered.status)
        self.send_header("Content-Type", answered.content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        tell(logger, logging.DEBUG, "Probe: " + format, *args)


def _open(address: Address, ask: Callable[[], Sequence[Health]]) -> _Server:
    try:
        return _Server(address, ask)
    except OSError as error:
        raise ProbeError(
            f"the probe cannot listen on {address.host}:{address.port}: {error.strerror or error}; give another "
            "--probe-port or --probe-host"
        ) from error


def _told(claim: str, is_true: bool, processes: Sequence[Health]) -> Answer:
    body = {claim: is_true, "processes": [health.as_json() for health in processes]}
    return Answer(HTTPStatus.OK if is_true else HTTPStatus.SERVICE_UNAVAILABLE, json.dumps(body))
