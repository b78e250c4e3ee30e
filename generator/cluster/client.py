"""The generator of a bot that uses a pool: the same surface, errors and texts as `ThreadedGenerator`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from generator.cluster import protocol
from generator.cluster.protocol import Answer, Ask, Away, Description, Here, Stop, Work
from generator.errors import GeneratorError, Overloaded, Unavailable, WeightsError
from generator.types import Generation, GenerationRequest, GeneratorStatus, ScoringRequest, Surprisal, WorkerStatistics
from generator.weights.versions import Manifest, Weights

PATIENCE_SECONDS: Final = 30.0
"""A text that is not there after so long is given up: as long as a bot's people wait for their turn."""
_GRACE_SECONDS: Final = 2.0
"""By so much later the pool has said that a text is late; else it says nothing any more."""
START_SECONDS: Final = 60.0
"""How long prompt waits for the pool."""
_AGAIN_SECONDS: Final = 2.0
"""Between the end of a link and the start of the next."""
_FIRST_GUESS: Final = 2_000.0
log = logging.getLogger(__name__)


class Pool:
    """Texts from the pool at an address. Open it by `async with Pool.open(address) as pool`."""

    def __init__(self, address: str, folder: Path, patience: float) -> None:
        self._address = address
        self._folder = folder
        self._patience = patience
        self._numbers = itertools.count()
        self._asked: dict[int, tuple[Work, asyncio.Future[Any]]] = {}
        self._link: asyncio.subprocess.Process | None = None
        self._weights: Weights | None = None
        self._here = asyncio.Event()
        self._away = "not connected yet"
        self._replicas: tuple[protocol.Figures, ...] = ()
        self._texts = self._characters = self._refused = self._failed = self._faults = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, address: str, *, patience: float = PATIENCE_SECONDS, start: float = START_SECONDS
    ) -> AsyncIterator[Pool]:
        """Connects: "auto" finds a cluster on this machine (or by `RAY_ADDRESS`), "ray://host:10001" one elsewhere.

        `patience`: seconds that a text may take; `start`: seconds to wait for the pool. Raises `Unavailable`.
        """
        with tempfile.TemporaryDirectory(prefix="lstmega-pool-") as folder:
            pool = cls(address, Path(folder), patience)
            keeping = asyncio.create_task(pool._keep_linked())
            try:
                try:
                    async with asyncio.timeout(start):
                        await pool._here.wait()
                except TimeoutError as error:
                    raise Unavailable(f"the pool at {address} is not there: {pool._away}") from error
                yield pool
            finally:
                keeping.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await keeping
                pool._lose("it is closed", expected=True)

    @property
    def weights(self) -> Weights:
        """What the pool served when it was last looked at, without the model. During a roll-out either version."""
        if self._weights is None:
            raise Unavailable("the pool was never seen")
        return self._weights

    async def generate(self, request: GenerationRequest) -> Generation:
        """As `ThreadedGenerator.generate`. Raises `Unavailable` when the pool is away; `Overloaded`
        also when it is too slow."""
        generation: Generation = await self._ask(request)
        self._texts += 1
        self._characters += len(generation.text)
        return generation

    async def score(self, written: ScoringRequest) -> Surprisal:
        """As `ThreadedGenerator.weigh`, with the errors of `generate`."""
        surprise: Surprisal = await self._ask(written)
        self._characters += len(surprise.text)
        return surprise

    async def reload(self) -> Weights:
        """What serves. Other weights are given to the pool itself, by `python -m generator serve`.

        Raises `WeightsError` when the pool is away.
        """
        if self._away:
            raise WeightsError(f"the pool is away: {self._away}")
        return self.weights

    def status(self) -> GeneratorStatus:
        """The threads of all replicas, and whether they can be reached."""
        number = sum(replica.threads for replica in self._replicas)
        away = f"the pool is away: {self._away}" if self._away else ""
        return GeneratorStatus(number, unavailable=away, faults=self._faults, last_fault=self._last)

    @property
    def _last(self) -> str:
        return "the pool was away" if self._faults else ""

    def statistics(self) -> WorkerStatistics:
        """Counts of what this bot asked for; what runs, and how fast, is that of all replicas, for all bots."""
        speed = sum(replica.characters_per_second for replica in self._replicas)
        return WorkerStatistics(
            texts=self._texts,
            characters=self._characters,
            refused=self._refused,
            failed=self._failed,
            running=sum(replica.running for replica in self._replicas),
            queued=0,
            characters_per_second=speed or _FIRST_GUESS,
        )

    async def _ask(self, work: Work) -> Any:
        if self._away or self._link is None or self._link.stdin is None:
            self._failed += 1
            raise Unavailable(self._away)
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = work, future
        link = self._link.stdin
        link.write(protocol.packed(Ask(number, work, time.time() + self._patience)))
        try:
            async with asyncio.timeout(self._patience + _GRACE_SECONDS):
                return await future
        except TimeoutError as error:
            self._failed += 1
            raise Unavailable("the pool did not answer in time") from error
        except Overloaded:
            self._refused += 1
            raise Overloaded(self._retry_after()) from None
        except GeneratorError:
            self._failed += 1
            raise
        finally:
            del self._asked[number]
            if not future.done() or future.cancelled():
                link.write(protocol.packed(Stop(number)))

    def _retry_after(self) -> float:
        """Seconds until about half of what this bot has asked for will have been written."""
        waiting = sum(work.characters for work, _ in self._asked.values())
        return max(1.0, waiting / 2 / self.statistics().characters_per_second)

    async def _keep_linked(self) -> None:
        while True:
            try:
                await self._linked()
            except Exception as error:  # a defect, or no process to be had: told, and tried again
                log.exception("the link to the pool failed")
                self._lose(f"the link to the cluster failed ({type(error).__name__})")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _linked(self) -> None:
        """One link, from its start to its end."""
        link = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "generator.cluster.sidecar", self._address,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # Ray's words: it keeps its own logs; what matters comes as a frame
            start_new_session=True,  # Ctrl-C is the bot's, which still needs answers then
        )  # fmt: skip
        try:
            await self._listen(link)
            self._lose(self._away or "the link to the cluster ended")
        finally:
            self._link = None
            if link.returncode is None:
                link.kill()
            await link.wait()

    async def _listen(self, link: asyncio.subprocess.Process) -> None:
        if link.stdout is None:
            raise RuntimeError("the link was started with a pipe")
        self._link = link
        while True:
            try:
                message: Answer | Here | Away = await protocol.read(link.stdout)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if isinstance(message, Answer):
                self._take(message)
            elif isinstance(message, Here):
                self._find(message)
            else:
                self._lose(message.reason)

    def _take(self, answer: Answer) -> None:
        _, future = self._asked.get(answer.number, (None, None))
        if future is None or future.done():
            return  # it was cancelled
        if isinstance(answer.result, GeneratorError):
            future.set_exception(answer.result)
        else:
            future.set_result(answer.result)

    def _find(self, here: Here) -> None:
        self._replicas = here.replicas
        if here.description is not None:
            before = self._weights.manifest.version if self._weights else ""
            self._weights = self._kept(here.description)
            if before and before != self._weights.manifest.version:
                log.info("the pool serves %s now, no longer %s", self._weights.manifest.version, before)
        if self._away and self._weights is not None:
            self._away = ""
            log.info("the pool is there: %d replicas", len(here.replicas))
            self._here.set()

    def _lose(self, reason: str, *, expected: bool = False) -> None:
        if not expected and not self._away and self._here.is_set():
            self._faults += 1
            log.error("the pool is away: %s", reason)
        self._away = reason
        for _, future in list(self._asked.values()):
            if not future.done():
                future.set_exception(Unavailable(reason))

    def _kept(self, description: Description) -> Weights:
        """The weights as `/about` wants them: in a folder, with the picture beside."""
        manifest = Manifest.from_json(description.manifest)
        folder = self._folder / manifest.version
        folder.mkdir(exist_ok=True)
        for name, content in description.files.items():
            (folder / name).write_bytes(content)
        return Weights(folder, manifest, b"")
