"""Probes: asks a worker's process over HTTP how it fares."""

import json
import socket
from http.client import HTTPConnection
from typing import Any
from urllib.request import urlopen

from tests.eventually import eventually


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


class Probe:
    """What a port of this machine answers."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """The status, and the body if there is one; 0 while nobody listens."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body else None
        except (ConnectionError, TimeoutError):
            return 0, None
        finally:
            connection.close()

    def text(self, path: str) -> str:
        """A body that is no JSON."""
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def processes(self) -> list[dict[str, Any]]:
        """What is told of each process."""
        _, body = self.get("/livez")
        processes: list[dict[str, Any]] = body["processes"]
        return processes

    def await_ready(self) -> None:
        eventually(lambda: self.get("/readyz")[0] == 200, timeout=30)
