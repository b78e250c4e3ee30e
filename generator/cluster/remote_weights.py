"""Weights from where every node of a cluster reaches them: a folder, or an `fsspec` URL such as s3://bucket/weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from generator.errors import WeightsError
from generator.weights.manifest import MANIFEST, Manifest
from generator.weights.versions import CURRENT, VERSION_NAME, current_version, locate


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


@contextmanager
def within_reach(source: str, version: str) -> Iterator[Path]:
    """A weights folder that holds the version while the block runs. Raises `WeightsError`.

    What comes from a URL is verified by whoever loads it, as what was copied by hand is.
    """
    if not VERSION_NAME.fullmatch(version):
        raise WeightsError(f"{version[:60]!r} is not the name of a version")
    if "://" not in source:
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="lstmega-") as folder:
        place = Path(folder) / version
        place.mkdir()
        _copy(source, f"{version}/{MANIFEST}", place / MANIFEST)
        try:
            names = Manifest.from_json((place / MANIFEST).read_text(encoding="utf-8")).files
        except ValueError as error:
            raise WeightsError(f"{source}/{version}/{MANIFEST}: {error}") from error
        for name in names:
            _copy(source, f"{version}/{name}", place / name)
        yield Path(folder)


def _copy(source: str, name: str, target: Path) -> None:
    url = f"{source.rstrip('/')}/{name}"
    try:
        import fsspec  # noqa: PLC0415 - of the extra `cluster`, and for URLs alone

        with fsspec.open(url, "rb") as remote:
            target.write_bytes(remote.read())
    except Exception as error:  # each protocol's library has errors of its own
        raise WeightsError(f"{url}: cannot be read: {error or type(error).__name__}") from error
