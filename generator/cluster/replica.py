"""What Ray Serve runs: one scheduler, with its continuous batching, on weights from where every node reaches them.

That is a folder, or an `fsspec` URL such as s3://bucket/weights.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from generator.errors import GeneratorError, WeightsError
from generator.process.protocol import Result, Work
from generator.serving.loading import load_model
from generator.serving.model import Model
from generator.serving.scheduler import MAX_BATCH_SIZE, Scheduler
from generator.types import GeneratorStatus
from generator.weights.manifest import MANIFEST, Manifest
from generator.weights.versions import CURRENT, VERSION_NAME, current_version, locate

QUEUE: Final = MAX_BATCH_SIZE
"""Requests that wait in a replica for a batch slot; more of them wait with the bots."""
DRAIN_SECONDS: Final = 20.0
"""How long a replica that Serve stops may finish its texts."""
CURVE: Final = "curve.png"
"""The picture that `/about` shows."""


def find_version(source: str, version: str | None) -> tuple[str, str]:
    """Returns the weights folder or URL, and the version in it: by default what its `CURRENT` names.

    `source` may also be the folder of one version. Raises `WeightsError`.
    """
    if "://" not in source:
        folder, named = locate(Path(source))
        return str(folder), version or named or current_version(folder)
    if version is None:
        with tempfile.TemporaryDirectory(prefix="lstmega-") as copied:
            _copy(source, CURRENT, Path(copied) / CURRENT)
            version = current_version(Path(copied))
    return source, version


@dataclass(frozen=True, slots=True)
class Description:
    """What bots show of the weights: a folder that was copied from a URL is gone by then."""

    manifest: str
    curve: bytes | None


def load(source: str, version: str) -> tuple[Model, Description]:
    """Loads a version of a weights folder or URL, verifies and tests it. Raises `WeightsError`."""
    with tempfile.TemporaryDirectory(prefix="lstmega-") as copied:
        if "://" in source:
            _copy_version(source, version, Path(copied))
            source = copied
        model = load_model(Path(source), version)
        return model, Description(model.weights.manifest.to_json(), model.weights.beside(CURVE))


def _copy_version(source: str, version: str, folder: Path) -> None:
    if not VERSION_NAME.fullmatch(version):
        raise WeightsError(f"{version[:60]!r} is not the name of a version")
    manifest = folder / version / MANIFEST
    manifest.parent.mkdir()
    _copy(source, f"{version}/{MANIFEST}", manifest)
    try:
        names = Manifest.from_json(manifest.read_text(encoding="utf-8")).files
    except ValueError as error:
        raise WeightsError(f"{source}/{version}/{MANIFEST}: {error}") from error
    for name in names:
        _copy(source, f"{version}/{name}", manifest.with_name(name))


def _copy(source: str, name: str, target: Path) -> None:
    url = f"{source.rstrip('/')}/{name}"
    try:
        import fsspec  # noqa: PLC0415 - of the extra `cluster`, and for URLs alone

        with fsspec.open(url, "rb") as remote:
            target.write_bytes(remote.read())
    except Exception as error:  # each protocol's library has errors of its own
        raise WeightsError(f"{url}: cannot be read: {error or type(error).__name__}") from error


def preflight(source: str, version: str) -> str:
    """Loads a version before it is rolled out; returns what is wrong with it, nothing when it can serve."""
    try:
        load(source, version)
    except WeightsError as error:
        return str(error)
    return ""


class Replica:
    """A scheduler of `threads` threads. Serve calls `reconfigure` first."""

    _scheduler: Scheduler
    _description: Description

    def __init__(self, threads: int) -> None:
        self._threads = threads

    async def reconfigure(self, settings: Mapping[str, str]) -> None:
        """Switches to `settings`: `weights`, a folder or URL, and the `version` in it.

        Texts in progress finish on the old version. Raises `WeightsError`: Serve then stops the roll-out.
        """
        model, self._description = await asyncio.to_thread(load, settings["weights"], settings["version"])
        if hasattr(self, "_scheduler"):
            self._scheduler.model = model
        else:
            self._scheduler = Scheduler(model, QUEUE, self._threads)

    async def generate(self, work: Work) -> Result | GeneratorError:
        """Generates or scores one text. Errors are returned: Ray would wrap a raised one.

        Cancelling frees its batch slot at the next character.
        """
        try:
            result: Result = await self._scheduler.run(work)
        except GeneratorError as error:
            return error
        return result

    async def describe(self) -> Description:
        """Returns what is shown of the weights that serve."""
        return self._description

    async def status(self) -> tuple[str, GeneratorStatus]:
        """Returns the version that serves, and what the replica does now."""
        return self._scheduler.model.version, self._scheduler.status()

    async def check_health(self) -> None:
        """Raises when a step has not ended since the last check: Serve replaces a replica that fails three in a row."""
        if hasattr(self, "_scheduler") and self._scheduler.stalls():
            raise RuntimeError("a step of the network hangs")
