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
    """A head node of so many `cores`, which can be taken away and come back at the same place, and others that join."""

    def __init__(self, folder: Path, cores: int) -> None:
        self.folder = folder
        self.cores = cores
        self.port, self.client_port = unused_port(), unused_port()
        self.address = f"127.0.0.1:{self.port}"
        self.environment = os.environ | {
            "RAY_ADDRESS": self.address,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",  # or a token that lies in the home folder decides
            "PYTHONPATH": str(ROOT),
        }
        self._nodes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._start(
            *("--head", "--port", str(self.port), "--ray-client-server-port", str(self.client_port)),
            *("--include-dashboard", "false", "--temp-dir", str(self.folder), "--num-cpus", str(self.cores)),
        )

    def join(self, cores: int) -> int:
        """Another node, on this machine too; returns its process, which `end_node` takes."""
        return self._start("--address", self.address, "--num-cpus", str(cores))

    def _start(self, *options: str) -> int:
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
            *("--node-ip-address", "127.0.0.1", "--object-store-memory", "100000000", *options),
        ]
        environment = {name: value for name, value in self.environment.items() if name != "RAY_ADDRESS"}
        # A session of its own, so that all of it can be ended at once.
        node = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            start_new_session=True,
        )
        self._nodes.append(node)
        assert node.stdout is not None
        for line in node.stdout:
            if b"Ray runtime started" in line:
                return node.pid
        raise AssertionError("Ray did not start")

    def end(self) -> None:
        """Kills every process of the cluster."""
        for node in reversed(self._nodes):
            self.end_node(node.pid)

    def end_node(self, number: int) -> None:
        """Kills every process of a node."""
        [node] = [node for node in self._nodes if node.pid == number]
        self._nodes.remove(node)
        for process in processes(number):
            with_pid_gone(process)
        node.wait()
        if node.stdout is not None:
            node.stdout.close()

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
        return [replica for node in self._nodes for replica in replicas_of(node.pid)]


def replicas_of(node: int) -> list[int]:
    return [process for process in processes(node) if "ServeReplica:lstmega" in title(process)]


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
def cluster(cores: int = 4) -> Iterator[Cluster]:
    """A running cluster. Its folder has a short name: the sockets in it may have names of 107 characters at most."""
    folder = Path(tempfile.mkdtemp(prefix="lstmega-"))
    running = Cluster(folder, cores)
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
