"""Prometheus metrics of one service, in their own registry, so that nothing is global."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.core.commands import Commands
from bot.core.events import Answered, Event, TextWritten, Undelivered
from bot.logs import dropped_lines
from bot.service.supervisor import State, Supervised
from generator import Generator

NAMESPACE: Final = "lstmega"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PER_CHARACTER: Final = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
_LAG: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
log = logging.getLogger(__name__)


class Metrics:
    """The counters and histograms of one service. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter(
            "requests", "Requests, by platform, command and outcome.", "platform", "command", "outcome"
        )
        self._request_seconds = self._histogram(
            "request_seconds", "From a command to its reply, before the platform has sent it.", _SECONDS, "command"
        )
        self._queue_wait = self._histogram("queue_wait_seconds", "From the request to the start of the text.", _SECONDS)
        self._first_character = self._histogram(
            "time_to_first_character_seconds", "From the request to the text's first character.", _SECONDS
        )
        self._per_character = self._histogram(
            "time_per_character_seconds", "Duration of a text, divided by its characters.", _PER_CHARACTER
        )
        self._platform_errors = self._counter(
            "platform_errors", "Failures to connect, to stay connected, or to send an answer.", "platform"
        )
        self._reloads = self._counter("weights_reloads", "Reloads of the weights, by outcome.", "outcome")
        self._lag = self._histogram("event_loop_lag_seconds", "Lag of the event loop.", _LAG)
        ProcessCollector(registry=self._registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, namespace=NAMESPACE, registry=self._registry)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, documentation, labels, namespace=NAMESPACE, registry=self._registry, buckets=buckets)

    def observe(self, generator: Generator, commands: Commands, platforms: Iterable[Supervised]) -> None:
        """Adds the current state of these to the metrics. Call it once."""
        self._registry.register(_CurrentState(generator, commands, tuple(platforms)))

    def on_event(self, event: Event) -> None:
        """Counts what happened in the core, and logs how each request ended."""
        match event:
            case Answered(platform, command, outcome, seconds):
                self._requests.labels(platform, command, outcome).inc()
                self._request_seconds.labels(command).observe(seconds)
                line = "request.answered platform=%s command=%s outcome=%s seconds=%.3f"
                log.info(line, platform, command, outcome, seconds)
            case TextWritten(generation, waited):
                timing, characters = generation.timing, len(generation.text)
                self._queue_wait.observe(waited + timing.queue_wait)
                self._first_character.observe(waited + timing.first_character)
                if characters:
                    self._per_character.observe(timing.writing / characters)
            case Undelivered(platform):
                self.platform_failed(platform)

    def platform_failed(self, platform: str) -> None:
        """Counts a lost connection, a failed attempt to connect, or an answer that was not delivered."""
        self._platform_errors.labels(platform).inc()

    def reloaded(self, outcome: str) -> None:
        """Counts a reload of the weights: "loaded", "unchanged" or "refused"."""
        self._reloads.labels(outcome).inc()

    def lagged(self, seconds: float) -> None:
        """Records the event loop's lag."""
        self._lag.observe(seconds)

    def text(self) -> bytes:
        """Returns all metrics in the format of https://prometheus.io/docs/instrumenting/exposition_formats/."""
        return generate_latest(self._registry)


class _CurrentState(Collector):
    """What other parts count themselves, and their state, read at each scrape."""

    def __init__(self, generator: Generator, commands: Commands, platforms: tuple[Supervised, ...]) -> None:
        self._generator = generator
        self._commands = commands
        self._platforms = platforms

    def collect(self) -> Iterator[Metric]:
        statistics, status = self._generator.statistics(), self._generator.status()
        admission = self._commands.admission
        able = 0 if status.unavailable else status.threads
        yield _counter("texts", "Texts generated.", statistics.texts)
        yield _counter(
            "texts_refused", "Texts refused because there were too many.", statistics.refused + admission.refused
        )
        yield _counter("texts_failed", "Texts that failed.", statistics.failed)
        yield _counter("characters", "Characters processed, those of prompts included.", statistics.characters)
        yield _counter("generator_faults", "Generator threads or workers that failed or hung.", status.faults)
        yield _counter("worker_restarts", "Restarts of the worker process after it ended.", status.restarts)
        yield _counter("log_lines_dropped", "Log lines dropped because standard error was not read.", dropped_lines())
        yield _gauge("generator_threads", "Generator threads that work.", able)
        yield _gauge("queue_length", "Texts in the queue.", statistics.queued + admission.waiting)
        yield _gauge("batch_size", "Texts in the running batch.", statistics.running)
        yield _gauge("characters_per_second", "Moving average of the throughput.", statistics.characters_per_second)
        manifest = self._generator.weights.manifest
        labels = {"version": manifest.version, "preset": manifest.preset, "corpus": manifest.corpus.name}
        info = GaugeMetricFamily(f"{NAMESPACE}_weights_info", "1, and the weights that serve.", labels=list(labels))
        info.add_metric(list(labels.values()), 1.0)
        yield info
        connected = GaugeMetricFamily(
            f"{NAMESPACE}_platform_connected", "1 when the platform is connected.", labels=["platform"]
        )
        for platform in self._platforms:
            connected.add_metric([platform.name], float(platform.state is State.CONNECTED))
        yield connected


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"{NAMESPACE}_{name}", documentation, value=value)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{NAMESPACE}_{name}", documentation, value=value)
