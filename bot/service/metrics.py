"""Prometheus metrics of one service, in their own registry, so that nothing is global."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.core.commands import Commands, Observer
from bot.logs import dropped_lines
from bot.service.supervisor import Supervised
from generator import Generation, Generator

NAMESPACE: Final = "lstmega"
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
        self._first_character = histogram("time_to_first_character_seconds", "From the request to the first character.")
        self._per_character = histogram("time_per_character_seconds", "Of whole texts.", buckets=_PER_CHARACTER)
        self._platform_errors = counter("platform_errors", "Failures to connect or to send an answer.", ["platform"])
        self._reloads = counter("weights_reloads", "Reloads of the weights, by outcome.", ["outcome"])
        self.loop_lag = histogram("event_loop_lag_seconds", "Lag of the event loop.", buckets=_LAG)
        ProcessCollector(registry=self.registry)

    def answered(self, platform: str, command: str, outcome: str, seconds: float) -> None:
        """See `Observer`. Logs it too."""
        self._requests.labels(platform, command, outcome).inc()
        self._request_seconds.labels(command).observe(seconds)
        line = "request.answered platform=%s command=%s outcome=%s seconds=%.3f"
        log.info(line, platform, command, outcome, seconds)

    def text_written(self, generation: Generation, waited: float) -> None:
        """See `Observer`."""
        timing, characters = generation.timing, len(generation.text)
        self._queue_wait.observe(waited + timing.queue_wait)
        self._first_character.observe(waited + timing.first_character)
        if characters:
            self._per_character.observe(timing.writing / characters)

    def platform_failed(self, platform: str) -> None:
        """Counts a lost connection, a failed attempt to connect, or an answer that was not delivered."""
        self._platform_errors.labels(platform).inc()

    def reloaded(self, outcome: str) -> None:
        """Counts a reload of the weights: "loaded", "unchanged" or "refused"."""
        self._reloads.labels(outcome).inc()


@dataclass(frozen=True, eq=False)
class CurrentState(Collector):
    """What other parts count themselves, and their state, read at each scrape."""

    generator: Generator
    commands: Commands
    platforms: Sequence[Supervised]

    def collect(self) -> Iterator[Metric]:
        """Yields every metric."""
        statistics, status = self.generator.statistics(), self.generator.status()
        admission, manifest = self.commands.admission, self.generator.weights.manifest
        refused = statistics.refused + admission.refused
        able = 0 if status.unavailable else status.threads
        yield _counter("texts", "Texts generated.", statistics.texts)
        yield _counter("texts_refused", "Texts refused because there were too many.", refused)
        yield _counter("texts_failed", "Texts that failed.", statistics.failed)
        yield _counter("characters", "Characters processed, those of prompts included.", statistics.characters)
        yield _counter("generator_faults", "Worker processes that failed or hung.", status.faults)
        yield _counter("worker_restarts", "Restarts of the worker process after it ended.", status.restarts)
        yield _counter("log_lines_dropped", "Log lines dropped because standard error was not read.", dropped_lines())
        yield _gauge("generator_threads", "Generator threads that work.", able)
        yield _gauge("queue_length", "Texts in the queue.", statistics.queued + admission.waiting)
        yield _gauge("batch_size", "Texts in the running batch.", statistics.running)
        yield _gauge("characters_per_second", "Moving average of the throughput.", statistics.characters_per_second)
        info = _gauge("weights_info", "1, and the weights that serve.", None, "version", "preset", "corpus")
        info.add_metric([manifest.version, manifest.preset, manifest.corpus.name], 1.0)
        yield info
        connected = _gauge("platform_connected", "1 when the platform is connected.", None, "platform")
        for platform in (supervised.platform for supervised in self.platforms):
            connected.add_metric([platform.name], float(platform.connected))
        yield connected


def _counter(name: str, documentation: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"{NAMESPACE}_{name}", documentation, value=value)


def _gauge(name: str, documentation: str, value: float | None, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{NAMESPACE}_{name}", documentation, value=value, labels=labels or None)
