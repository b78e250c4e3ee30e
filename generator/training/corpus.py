"""The text to learn: fetched once, read, checked, split."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from generator.vocabulary import Indices, Vocabulary
from generator.weights.manifest import MAX_SYMBOLS

DEFAULT_URL: Final = "https://s3.amazonaws.com/text-datasets/nietzsche.txt"
DEFAULT_SHA256: Final = "23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647"
MIN_CHARACTERS: Final = 3_000
"""A twentieth of this still holds the 100 characters that a meaningful validation figure needs."""
SPLIT: Final = "contiguous 90/5/5: train, validation, test; cut at int(n*0.90), int(n*0.95)"
_TIMEOUT_SECONDS: Final = 30.0
_CHUNK_BYTES: Final = 1 << 14
_SHORT_LINE: Final = 120


class CorpusError(Exception):
    """The text cannot be read, downloaded or learnt; the message says what to do instead."""


@dataclass(frozen=True)
class Corpus:
    """A text and its contiguous split. `lowercase`: the text was lower-cased, from one that had `cased_sha256`."""

    name: str
    text: str
    lowercase: bool = False
    cased_sha256: str = ""

    def lowered(self) -> Corpus:
        """Returns the text lower-cased."""
        return Corpus(self.name, self.text.lower(), lowercase=True, cased_sha256=self.sha256)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """All its characters: validation and test may hold some that the training split does not."""
        return Vocabulary.of(self.text)

    @cached_property
    def sha256(self) -> str:
        """Of its UTF-8 bytes before lower-casing."""
        return self.cased_sha256 or hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    @property
    def hard_wrapped(self) -> bool:
        """Whether lines are broken inside paragraphs: several short lines for each blank one, hardly a long one.

        Verse breaks its lines too, but seldom lets most of them come near to one width.
        """
        lengths = sorted(len(line) for line in self.text.splitlines() if line.strip())
        if not lengths or lengths[-1] > _SHORT_LINE * 2:
            return False
        usual = lengths[len(lengths) * 9 // 10]
        return usual <= _SHORT_LINE and sum(length > 0.75 * usual for length in lengths) > 0.6 * len(lengths)

    @cached_property
    def splits(self) -> tuple[Indices, Indices, Indices]:
        """Training, validation and test characters as indices, int64."""
        characters = self.vocabulary.encode(self.text)
        first, second = int(len(characters) * 0.90), int(len(characters) * 0.95)
        return characters[:first], characters[first:second], characters[second:]

    @property
    def training(self) -> Indices:
        """The first 90 %."""
        return self.splits[0]

    @property
    def validation(self) -> Indices:
        """The next 5 %."""
        return self.splits[1]

    @property
    def test(self) -> Indices:
        """The last 5 %, looked at once per version."""
        return self.splits[2]


def read_corpus(path: Path) -> Corpus:
    """Reads a UTF-8 text file; drops a byte order mark, turns line ends into `\\n`. Raises `CorpusError`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"{path}: {(error.strerror or 'cannot be read').lower()}; --corpus wants a text file"
        ) from error
    if not raw.strip():
        raise CorpusError(f"{path}: the file is empty; --corpus wants a text of at least {MIN_CHARACTERS:,} characters")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}: not UTF-8 text (byte {error.start:,}); convert it first: iconv -f latin1 -t utf-8 OLD > NEW"
        ) from error
    if "\0" in text:
        raise CorpusError(f"{path}: a binary file, not a text; --corpus wants plain UTF-8 text")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) < MIN_CHARACTERS:
        raise CorpusError(
            f"{path}: {len(text):,} characters are too few to learn from; at least {MIN_CHARACTERS:,} are needed, "
            "and a few hundred thousand make a readable text"
        )
    symbols = set(text)
    if len(symbols) == 1:
        raise CorpusError(f"{path}: one character only, {text[0]!r}; --corpus wants a text")
    if len(symbols) > MAX_SYMBOLS:
        raise CorpusError(
            f"{path}: {len(symbols):,} different characters are more than a network here may know ({MAX_SYMBOLS:,})"
        )
    return Corpus(path.name, text)


def read_together(paths: Sequence[Path], vocabulary: Vocabulary) -> Indices:
    """Reads several texts as one, mapped to a vocabulary: int64 indices. Raises `CorpusError`."""
    texts = [vocabulary.fit(read_corpus(path).text).text for path in paths]
    return vocabulary.encode("".join(texts))


def default_corpus(progress: Callable[[int, int | None], None]) -> Corpus:
    """Reads nietzsche.txt from the user's cache, downloaded and verified the first time.

    `progress` gets the bytes so far and the total, if the server sends one. Raises `CorpusError`.
    """
    path = cache_folder() / DEFAULT_URL.rpartition("/")[2]
    if not path.exists():
        _download(DEFAULT_URL, path, progress)
    return read_corpus(path)


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/lstmega`, or `~/.cache/lstmega` (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lstmega"


def _download(url: str, path: Path, progress: Callable[[int, int | None], None]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response, partial.open("wb") as file:
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdecimal() else None
            digest = hashlib.sha256()
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                progress(file.tell(), total)
            received = file.tell()
        if total is not None and received != total:
            raise CorpusError(f"{url}: only {received:,} of {total:,} bytes arrived; try again, or use --corpus FILE")
        if digest.hexdigest() != DEFAULT_SHA256:
            raise CorpusError(f"{url}: not the expected text (its sha256 differs); get the text, and use --corpus FILE")
        partial.replace(path)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise CorpusError(
            f"{url} cannot be downloaded ({reason}). If you have the text, or another one to learn from, "
            "name it: python train.py --corpus FILE"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
