"""Hot reload of one generator, also when CURRENT or a refused version changes, and requests for it over a Unix socket.

`python -m bot reload` uses the socket. Its file's permissions decide who may: no port, on which a proxy or a page in a
browser may forward another user's request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bot.config.loader import ConfigError
from bot.config.schema import Config
from bot.logs import Redaction
from generator import Generator, WeightsError
from generator.weights.versions import CURRENT, current_version

POLL_SECONDS: Final = 1.0
REQUEST: Final = b"reload\n"
COMMAND: Final = "/reload"
"""The trigger of an operator in a chat."""
_Seen = tuple[str, dict[str, int]]
"""What CURRENT names, or why that cannot be said, and when each file of that version was changed."""
log = logging.getLogger(__name__)


@dataclass
class Reloading:
    """Reloads the generator of a voice. `on_outcome` is called with "loaded", "unchanged" or "refused" each time."""

    generator: Generator
    on_outcome: Callable[[str], None] = lambda _outcome: None
    refusal: str = ""
    """Why the last attempt was refused; empty if it was not."""

    async def reload(self, trigger: str) -> None:
        """Loads what CURRENT names, then switches to it. `trigger` is for the log.

        Raises `WeightsError`; every error is logged, and the old weights stay.
        """
        before = self._serving
        try:
            await self.generator.reload()
        except Exception as error:
            self.refusal = str(error) or type(error).__name__
            self.on_outcome("refused")
            defect = None if isinstance(error, WeightsError) else error
            log.error("reload.refused trigger=%r serving=%s reason=%s", trigger, before, self.refusal, exc_info=defect)
            raise
        self.refusal = ""
        unchanged = before == self._serving
        self.on_outcome("unchanged" if unchanged else "loaded")
        level = logging.DEBUG if unchanged and trigger == COMMAND else logging.INFO  # the reply says it
        log.log(level, "reload.done trigger=%r version=%s before=%s", trigger, self._serving, before)

    async def watch(self, folder: Path) -> None:
        """Reloads whenever CURRENT in `folder` names another version, or when the files of one that was refused have
        changed and are at rest: it may still have been copied."""
        tried: _Seen = (self._serving, {})
        last = tried
        while True:
            seen = await asyncio.to_thread(_look, folder)
            at_rest, last = seen == last, seen
            if seen[0] != tried[0] or (self.refusal and seen != tried and at_rest):
                tried = seen
                if seen[0] != self._serving:
                    with suppress(Exception):  # `reload` has logged it
                        await self.reload(CURRENT)
            await asyncio.sleep(POLL_SECONDS)

    @property
    def _serving(self) -> str:
        return self.generator.weights.manifest.version


def _look(folder: Path) -> _Seen:
    named = ""
    try:
        named = current_version(folder)
        return named, {file.name: file.stat().st_mtime_ns for file in (folder / named).iterdir()}
    except (WeightsError, OSError) as error:
        return named or str(error), {}


class Answer(msgspec.Struct, frozen=True):
    """Whether the weights were reloaded, and the service's message."""

    reloaded: bool
    message: str


def socket_path(config: Config) -> Path:
    """Returns the socket of the service with this configuration; the port distinguishes those that share a folder."""
    return config.folder / f"reload-{config.http.port}.sock"


@asynccontextmanager
async def listening(config: Config, reload: Callable[[], Awaitable[str]], redact: Redaction) -> AsyncIterator[None]:
    """Calls `reload` for each request on the socket while the block runs. When none can be made, only logs that."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            if await reader.read(len(REQUEST)) == REQUEST:
                try:
                    answer = Answer(reloaded=True, message=await reload())
                except (WeightsError, ConfigError) as error:
                    answer = Answer(reloaded=False, message=redact(str(error)))
                writer.write(msgspec.json.encode(answer))

    path = socket_path(config)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In the place of the socket that a killed process left. No client can connect before it listens.
        server = await asyncio.start_unix_server(handle, path, start_serving=False)
        path.chmod(0o600)
        await server.start_serving()
    except OSError as error:
        log.warning("reload.no_socket path=%s error=%s", path, error)
        yield
        return
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
