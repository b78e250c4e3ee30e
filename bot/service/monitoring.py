"""What operators see of the service: metrics for Prometheus, readiness, and the HTTP endpoints that show both.

GET /healthz   200 while the event loop runs
GET /readyz    one JSON object a line for each part; 200, or 503 when one is not ready
GET /metrics   for Prometheus
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.config.loader import ConfigError
from bot.config.schema import HttpSection
from bot.core.commands import Commands, Observer
from bot.core.voice import Voice
from bot.http_server import CannotListen, listening
from bot.logs import Redaction, dropped_lines
from bot.service.supervisor import Supervised
from bot.store.errors import StoreError
from generator import Generation

NAMESPACE: Final = "lstmega"
TIMEOUT_SECONDS: Final = 2.0
"""A database that answers later than this is not ready."""
CHECK_SECONDS: Final = 5.0
"""How long the result of a check of the database is shown again: a check writes, and every GET may ask for one."""
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PER_CHARACTER: Final = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
_LAG: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
log = logging.getLogger(__name__)


class Metrics(Observer):
    """The counters and histograms of one service. All methods may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, namespace=NAMESPACE, registry=self.registry)
        histogram = partial(Histogram, namespace=NAMESPACE, registry=self.registry, buckets=_SECONDS)
        self._requests = counter("requests", "Requests, and how they ended.", ["platform", "command", "outcome"])
        self._request_seconds = histogram("request_seconds", "From a command to its reply, not sent yet.", ["command"])
        self._queue_wait = histogram("queue_wait_seconds", "From the request to the start of the text.")
        first = "From the request to the first character."
        self._first_character = histogram("time_to_first_character_seconds", first, ["voice"])
        each = "Of whole texts."
        self._per_character = histogram("time_per_character_seconds", each, ["voice"], buckets=_PER_CHARACTER)
        self._platform_errors = counter("platform_errors", "Failures to connect or to send an answer.", ["platform"])
        self._reloads = counter("weights_reloads", "Reloads of the weights, by outcome.", ["voice", "outcome"])
        self.loop_lag = histogram("event_loop_lag_seconds", "Lag of the event loop.", buckets=_LAG)
        ProcessCollector(registry=self.registry)

    def answered(self, platform: str, command: str, outcome: str, seconds: float) -> None:
        """See `Observer`. Logs it too."""
        self._requests.labels(platform, command, outcome).inc()
        self._request_seconds.labels(command).observe(seconds)
        line = "request.answered platform=%s command=%s outcome=%s seconds=%.3f"
        log.info(line, platform, command, outcome, seconds)

    def text_written(self, voice: str, generation: Generation, waited: float) -> None:
        """See `Observer`."""
        timing, characters = generation.timing, len(generation.text)
        self._queue_wait.observe(waited + timing.queue_wait)
        self._first_character.labels(voice).observe(waited + timing.first_character)
        if characters:
            self._per_character.labels(voice).observe(timing.writing / characters)

    def platform_failed(self, platform: str) -> None:
        """Counts a lost connection, a failed attempt to connect, or an answer that was not delivered."""
        self._platform_errors.labels(platform).inc()

    def reloaded(self, voice: str, outcome: str) -> None:
        """Counts a reload of a voice's weights: "loaded", "unchanged" or "refused"."""
        self._reloads.labels(voice, outcome).inc()


class Part(NamedTuple):
    """One part of the service: whether it is ready, and what its state is. `voice`: whose part it is, if one's."""

    part: str
    ready: bool
    detail: str
    voice: str = ""


_OF_A_VOICE: Final[tuple[tuple[type[CounterMetricFamily | GaugeMetricFamily], str, str, str], ...]] = (
    (CounterMetricFamily, "texts", "texts", "Texts generated."),
    (CounterMetricFamily, "texts_failed", "failed", "Texts that failed."),
    (CounterMetricFamily, "characters", "characters", "Characters processed, those of prompts included."),
    (CounterMetricFamily, "generator_faults", "faults", "Worker processes that failed or hung."),
    (CounterMetricFamily, "worker_restarts", "restarts", "Restarts of the worker process after it ended."),
    (GaugeMetricFamily, "generator_threads", "threads", "Generator threads that work."),
    (GaugeMetricFamily, "batch_size", "running", "Texts in the running batch."),
    (GaugeMetricFamily, "characters_per_second", "characters_per_second", "Speed of a full batch, a running mean."),
)
"""What is shown of each voice: the kind and name of the metric, the field of `GeneratorStatus`, the documentation."""


@dataclass(eq=False)
class Status(Collector):
    """The state of the parts of one service, read on request: for `/readyz`, and for each scrape of `/metrics`."""

    commands: Commands
    platforms: Sequence[Supervised]
    problems: Callable[[], Mapping[str, str]]
    """Returns why a voice could not be opened, or why its last reload was refused, by its name."""
    _checking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _database: Part = field(init=False)
    _check_again: float = 0.0

    async def parts(self) -> list[Part]:
        """Returns the state of every part. A refused reload is no fault: the old weights still serve."""
        stopping = self.commands.closing
        async with self._checking:
            now = asyncio.get_running_loop().time()
            if now >= self._check_again:
                self._database, self._check_again = await self._check_database(), now + CHECK_SECONDS
        voices, problems = self.commands.voices, self.problems()
        return [
            Part("service", not stopping, "stopping" if stopping else "running"),
            *(Part(each.platform.name, each.platform.connected, each.state) for each in self.platforms),
            *(part for voice in voices.values() for part in self._parts_of(voice, problems.get(voice.name, ""))),
            *(
                Part("weights", False, f"not loaded, so the others serve without it: {problem}", name)
                for name, problem in problems.items()
                if name not in voices
            ),
            self._database,
        ]

    def _parts_of(self, voice: Voice, refusal: str) -> tuple[Part, Part]:
        weights, status = voice.manifest.version, voice.generator.status()
        if refusal:
            weights += f"; the last reload was refused: {refusal}"
        threads = f"unavailable: {status.unavailable}" if status.unavailable else f"threads: {status.threads} work"
        if status.faults:
            threads += f"; faults since the start: {status.faults}, the last: {status.last_fault}"
        return (
            Part("weights", True, weights, voice.name),
            Part("generator", not status.unavailable, threads, voice.name),
        )

    async def _check_database(self) -> Part:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self.commands.store.preferences("", "")  # of no user: reads the database and finds nothing
                await self.commands.store.check_writable()
        except (StoreError, TimeoutError) as error:
            return Part("store", ready=False, detail=str(error) or f"no answer within {TIMEOUT_SECONDS:g} s")
        return Part("store", ready=True, detail="reads and writes")

    def collect(self) -> Iterator[Metric]:
        """Yields what the parts count themselves, and their state."""
        admission = self.commands.admission
        voices = {voice.name: (voice.generator.status(), voice.manifest) for voice in self.commands.voices.values()}
        refused = admission.refused + sum(status.refused for status, _ in voices.values())
        waiting = admission.waiting + sum(status.queued for status, _ in voices.values())
        dropped = "Log lines dropped because standard error was not read."
        yield CounterMetricFamily(f"{NAMESPACE}_texts_refused", "Texts refused because there were too many.", refused)
        yield CounterMetricFamily(f"{NAMESPACE}_log_lines_dropped", dropped, dropped_lines())
        yield GaugeMetricFamily(f"{NAMESPACE}_queue_length", "Texts in the queue.", waiting)
        for kind, name, value, documentation in _OF_A_VOICE:
            family = kind(f"{NAMESPACE}_{name}", documentation, labels=["voice"])
            for voice, (status, _) in voices.items():
                family.add_metric([voice], getattr(status, value))
            yield family
        weights = InfoMetricFamily(f"{NAMESPACE}_weights", "1, and the weights that serve.", labels=["voice"])
        for voice, (_, manifest) in voices.items():
            shown = {"version": manifest.version, "preset": manifest.preset, "corpus": manifest.corpus.name}
            weights.add_metric([voice], shown)
        yield weights
        documentation = "1 when the platform is connected."
        connected = GaugeMetricFamily(f"{NAMESPACE}_platform_connected", documentation, labels=["platform"])
        for supervised in self.platforms:
            connected.add_metric([supervised.platform.name], float(supervised.platform.connected))
        yield connected


@asynccontextmanager
async def serving(section: HttpSection, status: Status, metrics: Metrics, redact: Redaction) -> AsyncIterator[str]:
    """Serves the endpoints while the block runs; yields the address. Raises `ConfigError` if it cannot listen.
    `redact` hides the secrets that the reason of a failure may hold."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        parts = await status.parts()
        fields = ({name: value for name, value in part._asdict().items() if value != ""} for part in parts)
        lines = "".join(redact(json.dumps(each, ensure_ascii=False)) + "\n" for each in fields)
        code = 200 if all(part.ready for part in parts) else 503
        return web.Response(text=lines, status=code, content_type="application/x-ndjson")

    async def prometheus(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", prometheus)])
    try:
        async with listening(app, section.host, section.port) as (host, port):
            yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    except CannotListen as error:
        raise ConfigError([f"[http] {error}"]) from error
