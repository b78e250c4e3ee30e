"""A weights folder on an HTTP server of the tests' own, which can lose a file or refuse to give it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class WeightsServer(ThreadingHTTPServer):
    """`times`: how often a file is given, by its path (others: always); then the answer is `status`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.times: dict[str, int] = {}
        self.status = 404
        self.given: Counter[str] = Counter()
        self.lock = threading.Lock()


class _Handler(SimpleHTTPRequestHandler):
    server: WeightsServer

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.given[self.path] += 1
            over = self.server.given[self.path] > self.server.times.get(self.path, 1_000_000)
        if over:
            self.send_error(self.server.status)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@contextmanager
def weights_server(folder: Path) -> Iterator[WeightsServer]:
    with WeightsServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
