"""What the service counts, in the form that Prometheus reads. One registry of its own, so that nothing is global."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from bot.core.commands import Commands
from bot.core.events import Answered, Event, TextWritten, Undelivered
from bot.service.supervisor import State, Supervised
from generator import Generator

NAMESPACE: Final = "lstmega"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""From what a person does not notice to what they do not wait for."""
_PER_CHARACTER: Final = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
log = logging.getLogger(__name__)
_LAG: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counts of one service. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "requests",
            "What people asked for: by platform, command and outcome.",
            ("platform", "command", "outcome"),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._request_seconds = self._histogram(
            "request_seconds", "From a command to its reply, before the platform has sent it.", _SECONDS, ("command",)
        )
        self._queue_wait = self._histogram("queue_wait_seconds", "From asking for a text to its turn.", _SECONDS)
        self._first_character = self._histogram(
            "time_to_first_character_seconds", "From asking for a text to its first character.", _SECONDS
        )
        self._per_character = self._histogram(
            "time_per_character_seconds", "Time that a text took, by the number of its characters.", _PER_CHARACTER
        )
        self._platform_errors = Counter(
            "platform_errors",
            "Failures to reach a platform, to stay there, or to send an answer.",
            ("platform",),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._reloads = Counter(
            "weights_reloads",
            "Attempts to take up other weights.",
            ("outcome",),
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self._lag = self._histogram("event_loop_lag_seconds", "How late the event loop does what is due.", _LAG)
        ProcessCollector(registry=self._registry)

    def _histogram(
        self, name: str, documentation: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(name, documentation, labels, namespace=NAMESPACE, registry=self._registry, buckets=buckets)

    def observe(self, generator: Generator, commands: Commands, platforms: Iterable[Supervised]) -> None:
        """From now on, what they say about themselves is shown too. To be called once."""
        self._registry.register(_Present(generator, commands, tuple(platforms)))

    def on_event(self, event: Event) -> None:
        """Counts what happened in the core, and logs how requests ended."""
        match event:
            case Answered(platform, command, outcome, seconds):
                self.answered(platform, command, outcome, seconds)
                log.info("%s /%s: %s in %.3f s", platform, command, outcome, seconds)
            case TextWritten(generation, waited):
                self.text_begun(waited + generation.timing.queue_wait)
                self.first_character(waited + generation.timing.first_character)
                self.text_written(generation.timing.writing, len(generation.text))
            case Undelivered(platform):
                self.platform_failed(platform)

    def answered(self, platform: str, command: str, outcome: str, seconds: float) -> None:
        """A command got its reply, `seconds` after it came."""
        self._requests.labels(platform, command, outcome).inc()
        self._request_seconds.labels(command).observe(seconds)

    def text_begun(self, waited: float) -> None:
        """A text's turn came, so many seconds after it was asked for."""
        self._queue_wait.observe(waited)

    def first_character(self, seconds: float) -> None:
        """A text has its first character, so many seconds after it was asked for."""
        self._first_character.observe(seconds)

    def text_written(self, seconds: float, characters: int) -> None:
        """A text is done: so many seconds after its turn came, with so many characters."""
        if characters:
            self._per_character.observe(seconds / characters)

    def platform_failed(self, platform: str) -> None:
        """A platform could not be reached, or not be stayed at, or did not take an answer."""
        self._platform_errors.labels(platform).inc()

    def reloaded(self, outcome: str) -> None:
        """Other weights were taken up, or not: "loaded", "unchanged" or "refused"."""
        self._reloads.labels(outcome).inc()

    def lagged(self, seconds: float) -> None:
        """The event loop did something so many seconds after it was due."""
        self._lag.observe(seconds)

    def text(self) -> bytes:
        """Everything, in the text format of https://prometheus.io/docs/instrumenting/exposition_formats/."""
        return generate_latest(self._registry)


class _Present(Collector):
    """What is so at the moment when somebody looks."""

    def __init__(self, generator: Generator, commands: Commands, platforms: tuple[Supervised, ...]) -> None:
        self._generator = generator
        self._commands = commands
        self._platforms = platforms

    def collect(self) -> Iterator[Metric]:
        yield from self._worker()
        yield self._weights()
        connected = GaugeMetricFamily(
            f"{NAMESPACE}_platform_connected", "1 when the platform takes what people type.", labels=["platform"]
        )
        for platform in self._platforms:
            connected.add_metric([platform.name], float(platform.state is State.CONNECTED))
        yield connected

    def _worker(self) -> Iterator[Metric]:
        figures, threads = self._generator.statistics(), self._generator.threads()
        counts: dict[str, tuple[Callable[[str, str, float], Metric], str, float]] = {
            "texts": (_counter, "Texts written.", figures.texts),
            "texts_refused": (_counter, "Texts that found the queue full.", figures.refused),
            "texts_failed": (_counter, "Texts that went wrong.", figures.failed),
            "generator_faults": (_counter, "Times that a thread which writes failed or hung.", threads.faults),
            "generator_threads": (
                _gauge,
                "Threads that can write now.",
                0 if threads.away else threads.number - threads.resting - threads.lost,
            ),
            "characters": (_counter, "Characters fed, those of prompts included.", figures.characters),
            "queue_length": (_gauge, "Texts that wait for their turn.", figures.queued + self._commands.waiting),
            "batch_size": (_gauge, "Texts that are being written together now.", figures.running),
            "characters_per_second": (_gauge, "Running mean of the speed of all texts.", figures.characters_per_second),
        }
        for name, (kind, documentation, value) in counts.items():
            yield kind(f"{NAMESPACE}_{name}", documentation, value)

    def _weights(self) -> Metric:
        manifest = self._generator.weights.manifest
        info = GaugeMetricFamily(
            f"{NAMESPACE}_weights_info", "1, and which weights serve.", labels=["version", "preset", "corpus"]
        )
        info.add_metric([manifest.version, manifest.preset, manifest.corpus.name], 1.0)
        return info


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(name, documentation, value=value)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
