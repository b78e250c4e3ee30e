"""Weights versions on disk: reading and verifying one, adding one, which one is current.

    weights/CURRENT                  one line: the version to serve
    weights/<version>/manifest.json  what it is, and the sha256 of every other file
    weights/<version>/model.onnx     one step of the network (see `generator.weights.session`)

A version appears by an atomic rename and never changes afterwards; `CURRENT` changes by an atomic replace. So a
reader sees a whole version or none, whatever a writer is doing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from generator import files
from generator.errors import WeightsError
from generator.weights.manifest import MANIFEST, Manifest

CURRENT: Final = "CURRENT"
NIETZSCHE: Final = "nietzsche"
"""The voice that there is when none is named."""
SHIPPED_VOICES: Final = {NIETZSCHE: "", "classic": "nietzsche-lstm"}
"""Voices whose weights came with the program, and their versions (empty: the current one)."""
VERSION_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a version may be called: a plain folder name, so that `CURRENT` cannot point out of the weights folder."""
_MAX_TEXT_BYTES: Final = 1 << 20
_MAX_FILE_BYTES: Final = 1 << 31
"""The float weights are the largest: the classic network over `MAX_SYMBOLS` characters has 1.3 GB of them."""
MAX_BESIDE_BYTES: Final = 10_000_000
"""What `Weights.beside` reads at most: the platforms take no larger picture."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A version whose manifest was read and whose files have the hashes that it gives."""

    folder: Path
    manifest: Manifest

    def beside(self, name: str) -> bytes | None:
        """A small file beside the model, such as a picture; `None` when there is none. Raises `WeightsError`.

        One that the manifest names has to be what it was when the version was loaded.
        """
        path = self.folder / name
        if not os.path.lexists(path):
            return None
        return _read(path, MAX_BESIDE_BYTES, self.manifest.files.get(name))


def locate(path: Path) -> tuple[Path, str | None]:
    """Returns the weights folder and the version in it (`None`: the current one) that a path means: a weights folder,
    or the folder of one version in it."""
    path = path.expanduser().resolve()
    return (path.parent, path.name) if (path / MANIFEST).is_file() else (path, None)


def shipped_folder() -> Path:
    """The weights folder that came with the program: a clone's `weights/`, or the wheel's copy of it."""
    package = Path(__file__).resolve().parent.parent
    clone = package.parent / "weights"
    return clone if (clone / CURRENT).is_file() else package / "shipped_weights"


def current_version(folder: Path) -> str:
    """The version that `CURRENT` names. Raises `WeightsError`."""
    path = folder / CURRENT
    try:
        name = _read(path, _MAX_TEXT_BYTES).decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise WeightsError(f"{path}: is not UTF-8 text; it must name the version to serve") from error
    if not VERSION_NAME.fullmatch(name):
        raise WeightsError(f"{path}: {name[:60]!r} is not the name of a version")
    return name


def load_weights(folder: Path, version: str | None = None) -> Weights:
    """Reads and verifies a version of the weights folder: the named one, else the one that `CURRENT` names.

    Raises `WeightsError`, which names the file.
    """
    name = current_version(folder) if version is None else version
    if not VERSION_NAME.fullmatch(name):
        raise WeightsError(f"{name[:60]!r} is not the name of a version")
    place = folder / name
    if place.is_symlink():
        raise WeightsError(f"{place}: is a link; copy the version again")
    path = place / MANIFEST
    try:
        manifest = Manifest.from_json(_read(path, _MAX_TEXT_BYTES).decode("utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
    if manifest.version != name:
        raise WeightsError(f"{path}: it is of version {manifest.version!r}, but its folder is called {name!r}")
    for file, digest in manifest.files.items():
        with _opened(place / file, _MAX_FILE_BYTES) as content:
            _verify(place / file, hashlib.file_digest(content, "sha256").hexdigest(), digest)
    return Weights(place, manifest)


def add_version(folder: Path, contents: Mapping[str, bytes], manifest: Manifest) -> Path:
    """Writes a finished version and moves it into place by one rename; returns its folder.

    `contents` are the files that `manifest.files` names. The version is verified before the rename. Raises
    `WeightsError` when a version of that name is there already, or `OSError` when the disk refuses.
    """
    if not VERSION_NAME.fullmatch(manifest.version):
        raise WeightsError(f"{manifest.version[:60]!r} is not the name of a version")
    target = folder / manifest.version
    if target.exists():
        raise WeightsError(f"{target}: this version exists already, and versions never change; choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as incoming:
        place = Path(incoming) / manifest.version
        place.mkdir()
        for name, content in {**contents, MANIFEST: manifest.to_json().encode("utf-8")}.items():
            files.write(place / name, content)
        load_weights(Path(incoming), manifest.version)
        place.rename(target)
        files.flush_folder(folder)
    return target


def activate(folder: Path, version: str) -> None:
    """Points `CURRENT` at a version by one atomic replace, after verifying it. Raises `WeightsError`."""
    load_weights(folder, version)
    files.replace(folder / CURRENT, f"{version}\n".encode())


def _read(path: Path, limit: int, digest: str | None = None) -> bytes:
    with _opened(path, limit) as file:
        content = file.read()
    if digest is not None:
        _verify(path, hashlib.sha256(content).hexdigest(), digest)
    return content


def _verify(path: Path, found: str, digest: str) -> None:
    if found != digest:
        raise WeightsError(f"{path}: its sha256 is not the one that {MANIFEST} gives; copy it again")


@contextlib.contextmanager
def _opened(path: Path, limit: int) -> Iterator[io.BufferedReader]:
    """Opens a plain file: no link out of the folder, no pipe without a writer, no endless device.

    Raises `WeightsError`, also for more than `limit` bytes.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise WeightsError(f"{path}: is no plain file; copy the version again")
            if status.st_size > limit:
                raise WeightsError(f"{path}: larger than {limit} bytes; copy the version again")
            yield file
    except OSError as error:
        what = "is a link" if error.errno == errno.ELOOP else files.reason(error)
        advice = "copy the version again"
        if error.errno == errno.ENOENT and path.name == CURRENT:
            advice = "a weights folder has it, and a training run's folder when its first epoch is finished"
        raise WeightsError(f"{path}: {what}; {advice}") from error
