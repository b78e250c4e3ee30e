"""Weights versions on disk: what one holds, whether it is whole, which one is current.

    weights/CURRENT                  one line: the version to serve
    weights/<version>/manifest.json  what it is, and the sha256 of every other file
    weights/<version>/model.onnx     one step of the network (see `generator.weights.session`)

A version appears by an atomic rename and never changes afterwards; `CURRENT` changes by an atomic replace. So a
reader sees a whole version or none, whatever a writer is doing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, NoReturn

from generator import files as disk
from generator.errors import WeightsError
from generator.vocabulary import Vocabulary

FORMAT: Final = 1
CURRENT: Final = "CURRENT"
MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
FLOAT_WEIGHTS: Final = "weights.safetensors"
METRICS: Final = (
    "valid_bits_per_character",
    "test_bits_per_character",
    "float_valid_bits_per_character",
    "float_test_bits_per_character",
)
VERSION_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a version may be called: a plain folder name, so that `CURRENT` cannot point out of the weights folder."""
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_MAX_CURRENT_BYTES: Final = 1024
_MAX_MANIFEST_BYTES: Final = 1 << 20
_MAX_MODEL_BYTES: Final = 1 << 29
"""More than any recipe of `train.py` comes to: the classic one over `MAX_SYMBOLS` characters has 336 MB. Loading takes
three to four times the file in memory: 1.1 GB for that one, 1.4 GB with a session for wide steps."""
MAX_SYMBOLS: Final = 20_000
_MAX_TEXT: Final = 1000
"""Characters of a manifest's text; people read most of them in one message of 2,000."""
_MAX_COUNT: Final = 10**15
_MAX_BITS: Final = 64.0
MAX_BESIDE_BYTES: Final = 10_000_000
"""What `Weights.beside` reads at most: the platforms take no larger picture."""
_MAX_FILE_BYTES: Final = 1 << 31
"""The float weights, the largest of them, have four bytes where the model has one."""
_ANEW: Final = "copy the version anew"
_CHANGED: Final = f"its sha256 is not the one that {MANIFEST} gives; copy it anew"


@dataclass(frozen=True, slots=True)
class CorpusNote:
    """The text that a network learnt: its name, its length in characters, the sha256 of its UTF-8 bytes."""

    name: str
    characters: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """`manifest.json`. `lowercase`: the network knows the text lower-cased. `hard_wrapped`: its corpus breaks lines
    inside a paragraph, so a single line end in a text means a space. Both default to false when absent.
    """

    format: int
    version: str
    architecture: str
    preset: str
    parameters: int
    vocabulary: Vocabulary
    corpus: CorpusNote
    split: str
    training: Mapping[str, Any]
    metrics: Mapping[str, float]
    files: Mapping[str, str]
    license: str
    lowercase: bool = False
    hard_wrapped: bool = False

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["vocabulary"] = self.vocabulary.characters
        content["corpus"] = {name: getattr(self.corpus, name) for name in CorpusNote.__dataclass_fields__}
        return json.dumps(content, ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Reads `manifest.json`. Raises `ValueError` that names the key which is missing or wrong."""
        try:
            content = json.loads(text, parse_constant=_no_number)
        except RecursionError as error:
            raise ValueError("is nested too deeply") from error
        if not isinstance(content, dict):
            raise ValueError("is not a JSON object")
        if content.get("format") != FORMAT:
            raise ValueError(f"format is {content.get('format')!r}; this program reads format {FORMAT}")
        wanted: dict[str, type] = {
            "version": str, "architecture": str, "preset": str, "parameters": int, "vocabulary": str, "corpus": dict,
            "split": str, "training": dict, "metrics": dict, "files": dict, "license": str,
        }  # fmt: skip
        for key, kind in wanted.items():
            _expect(content, key, kind)
        for key in ("lowercase", "hard_wrapped"):
            _expect({key: False} | content, key, bool)
        for key, kind in {"name": str, "characters": int, "sha256": str}.items():
            _expect(content["corpus"], key, kind, "corpus.")
        for key in METRICS:
            _expect(content["metrics"], key, (int, float), "metrics.")
            _within(f"metrics.{key}", content["metrics"][key], _MAX_BITS)
        _within("parameters", content["parameters"], _MAX_COUNT)
        _within("corpus.characters", content["corpus"]["characters"], _MAX_COUNT)
        _within("the size of vocabulary", len(content["vocabulary"]), MAX_SYMBOLS)
        for key in ("version", "architecture", "preset", "split", "license"):
            _within(f"the length of {key}", len(content[key]), _MAX_TEXT)
        _within("the length of corpus.name", len(content["corpus"]["name"]), _MAX_TEXT)
        for name, digest in content["files"].items():
            if (
                not _FILE_NAME.fullmatch(name)
                or not isinstance(digest, str)
                or not re.fullmatch(r"[0-9a-f]{64}", digest)
            ):
                raise ValueError(f"files: {name!r} must be a plain file name with a sha256 in hexadecimal")
        if MODEL not in content["files"]:
            raise ValueError(f"files: {MODEL} is missing")
        known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        corpus = {name: content["corpus"][name] for name in CorpusNote.__dataclass_fields__}
        return cls(**known | {"vocabulary": Vocabulary(content["vocabulary"]), "corpus": CorpusNote(**corpus)})


@dataclass(frozen=True, slots=True)
class Weights:
    """A version whose manifest was read and whose files have the hashes that it gives."""

    folder: Path
    manifest: Manifest
    model: bytes = field(repr=False)
    """The bytes of `model.onnx` that were hashed: what is served is what was verified."""

    def beside(self, name: str) -> bytes | None:
        """A small file beside the model, such as a picture; `None` when there is none. Raises `WeightsError`.

        One that the manifest names has to be what it was when the version was loaded.
        """
        path = self.folder / name
        if not os.path.lexists(path):
            return None
        content = _read(path, MAX_BESIDE_BYTES)
        if name in self.manifest.files and hashlib.sha256(content).hexdigest() != self.manifest.files[name]:
            raise WeightsError(f"{path}: {_CHANGED}")
        return content


def shipped_folder() -> Path:
    """The weights folder that came with the program: a clone's `weights/`, or the wheel's copy of it."""
    package = Path(__file__).resolve().parent.parent
    clone = package.parent / "weights"
    return clone if (clone / CURRENT).is_file() else package / "shipped_weights"


def current_version(folder: Path) -> str:
    """The version that `CURRENT` names. Raises `WeightsError`."""
    path = folder / CURRENT
    try:
        name = _read(path, _MAX_CURRENT_BYTES).decode("utf-8").strip()
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
        raise WeightsError(f"{place}: is a link; {_ANEW}")
    path = place / MANIFEST
    try:
        manifest = Manifest.from_json(_read(path, _MAX_MANIFEST_BYTES).decode("utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
    if manifest.version != name:
        raise WeightsError(f"{path}: it is of version {manifest.version!r}, but its folder is called {name!r}")
    model = _read(place / MODEL, _MAX_MODEL_BYTES)
    for file, digest in manifest.files.items():
        found = hashlib.sha256(model).hexdigest() if file == MODEL else _digest(place / file, _MAX_FILE_BYTES)
        if found != digest:
            raise WeightsError(f"{place / file}: {_CHANGED}")
    return Weights(place, manifest, model)


def add_version(folder: Path, files: Mapping[str, bytes], manifest: Manifest) -> Path:
    """Writes a finished version and moves it into place by one rename; returns its folder.

    `files` is what `manifest.files` names. The version is verified where it was written, before the rename. Raises
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
        for name, content in {**files, MANIFEST: manifest.to_json().encode("utf-8")}.items():
            disk.write(place / name, content)
        load_weights(Path(incoming), manifest.version)
        place.rename(target)
        disk.flush_folder(folder)
    return target


def activate(folder: Path, version: str) -> None:
    """Points `CURRENT` at a version by one atomic replace, after verifying it. Raises `WeightsError`."""
    load_weights(folder, version)
    disk.replace(folder / CURRENT, f"{version}\n".encode())


def _read(path: Path, limit: int) -> bytes:
    """A plain file of at most `limit` bytes, whole. Raises `WeightsError`."""
    with _opened(path, limit) as file:
        return file.read(limit)


def _digest(path: Path, limit: int) -> str:
    """The sha256 of such a file, which is not brought into memory whole. Raises `WeightsError`."""
    with _opened(path, limit) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path, limit: int) -> Iterator[BufferedReader]:
    """A plain file, open: no link out of the folder, no pipe that nobody writes to, no device without an end."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise WeightsError(f"{path}: is no plain file; {_ANEW}")
            if status.st_size > limit:
                raise WeightsError(f"{path}: larger than {limit} bytes; {_ANEW}")
            yield file
    except OSError as error:
        what = "is a link" if error.errno == errno.ELOOP else disk.reason(error)
        raise WeightsError(f"{path}: {what}; {_ANEW}") from error


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"holds {constant}, which is no number")


def _within(what: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise ValueError(f"{what} must be from 0 to {most:.0f}")


def _expect(content: Mapping[str, Any], key: str, kind: type | tuple[type, ...], prefix: str = "") -> None:
    value = content.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        what = "is missing" if key not in content else f"has the wrong type ({type(value).__name__})"
        raise ValueError(f"{prefix}{key} {what}")
