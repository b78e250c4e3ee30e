"""A Ray cluster on this machine, of processes of its own, for tests and benchmarks to deploy pools to."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120.0
"""Seconds; Ray starts a dozen processes, on a machine that may be busy."""


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A head node, which can be taken away and come back at the same place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.client_port = unused_port(), unused_port()
        self.address = f"127.0.0.1:{self.port}"
        self.environment = os.environ | {
            "RAY_ADDRESS": self.address,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",  # or a token that lies in the home folder decides
            "PYTHONPATH": str(ROOT),
        }
        self._head: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "4"),
            *("--include-dashboard", "false", "--disable-usage-stats", "--node-ip-address", "127.0.0.1"),
            *("--port", str(self.port), "--ray-client-server-port", str(self.client_port)),
            *("--temp-dir", str(self.folder), "--object-store-memory", "100000000"),
        ]
        environment = {name: value for name, value in self.environment.items() if name != "RAY_ADDRESS"}
        # A session of its own, so that all of it can be ended at once.
        self._head = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            start_new_session=True,
        )
        assert self._head.stdout is not None
        for line in self._head.stdout:
            if b"Ray runtime started" in line:
                return
        raise AssertionError("Ray did not start")

    def end(self) -> None:
        """Kills every process of the cluster."""
        head, self._head = self._head, None
        if head is None:
            return
        for process in processes(head.pid):
            with_pid_gone(process)
        head.wait()
        if head.stdout is not None:
            head.stdout.close()

    def serve(self, *options: str) -> subprocess.CompletedProcess[str]:
        """`python -m generator serve`."""
        return subprocess.run(
            (sys.executable, "-m", "generator", "serve", "--address", "auto", *options),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def replicas(self) -> list[int]:
        """The process ids of the replicas."""
        assert self._head is not None
        return [process for process in processes(self._head.pid) if "ServeReplica:lstmega" in title(process)]


def with_pid_gone(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def title(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def processes(session: int) -> list[int]:
    """That process and everything that descends from it."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            found = re.search(r"^PPid:\s*(\d+)", status.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            parents.setdefault(int(found[1]), []).append(int(status.parent.name))
    family = [session]
    for process in family:
        family += parents.get(process, [])
    return family


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A running cluster. Its folder has a short name: the sockets in it may have names of 107 characters at most."""
    folder = Path(tempfile.mkdtemp(prefix="lstmega-"))
    running = Cluster(folder)
    try:
        running.start()
        yield running
    finally:
        running.end()
        shutil.rmtree(folder, ignore_errors=True)


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Waits until `condition()` is true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - other processes make it true, which set no event
            await asyncio.sleep(0.1)
