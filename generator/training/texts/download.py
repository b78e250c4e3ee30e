"""What is fetched once into the cache folder: nietzsche.txt, and the library's books from Project Gutenberg."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import os
import re
import time
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp

from generator import files
from generator.connector import Connector
from generator.training import TrainingError

DEFAULT_URL: Final = "https://s3.amazonaws.com/text-datasets/nietzsche.txt"
DEFAULT_SHA256: Final = "23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647"
_TIMEOUT_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 2.0
"""Between two books, as https://www.gutenberg.org/policy/robot_access.html asks."""
_LIST: Final = Path(__file__).with_name("library.csv")
_BODY: Final = re.compile(r"\*\*\* ?START OF TH(?:E|IS) PROJECT.*?\*\*\*\n(.*)\n\*\*\* ?END OF TH(?:E|IS)", re.DOTALL)
_NOTE: Final = re.compile(r"\[(?:Illustration|Transcriber's note)[^\]]*\]", re.IGNORECASE)


def cache_folder() -> Path:
    """Returns `$XDG_CACHE_HOME/lstmega`, or `~/.cache/lstmega` (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lstmega"


def default_corpus() -> Path:
    """Returns where nietzsche.txt is in the user's cache, downloaded and verified the first time.

    Raises `TrainingError`.
    """
    path = cache_folder() / DEFAULT_URL.rpartition("/")[2]
    if path.exists():
        return path
    other = "If you have the text, or another one to learn from, name it: python train.py --corpus FILE"
    content = _download(DEFAULT_URL, other)
    if hashlib.sha256(content).hexdigest() != DEFAULT_SHA256:
        raise TrainingError(f"{DEFAULT_URL}: not the expected text (its sha256 differs); get it, and use --corpus FILE")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, content)
    return path


class Book(NamedTuple):
    """A book by its number in Project Gutenberg. `kind`: fiction, literature, philosophy or nietzsche."""

    kind: str
    number: int
    title: str


def books() -> list[Book]:
    """Returns the list in the order of reading: the nearest to the corpus last."""
    with _LIST.open(encoding="utf-8", newline="") as lines:
        return [Book(row["kind"], int(row["number"]), row["title"]) for row in csv.DictReader(lines)]


def fetch(listed: Iterable[Book], folder: Path, url: str, pause: float = PAUSE_SECONDS) -> dict[Book, Path]:
    """Returns the files of the books in `folder`, downloaded from `url` with their number if they are not there yet.

    A book that the address does not have is left out. Raises `TrainingError`; books fetched before that stay.
    """
    from rich.progress import track  # noqa: PLC0415 - of the extra `train`

    from generator.training import progress  # noqa: PLC0415

    if "{number}" not in url:
        raise TrainingError(f"--library {url}: wants {{number}} where the number of a book stands")
    found: dict[Book, Path] = {}
    for book in track(list(listed), "Fetching the library", console=progress.console):
        path = folder / f"{book.number}.txt"
        if not path.exists():
            address = url.replace("{number}", str(book.number))
            if (text := _text(address, folder)) is None:
                progress.show(f"left out, since it is not there: {book.title} ({address})")
                continue
            folder.mkdir(parents=True, exist_ok=True)
            files.replace(path, text.encode("utf-8"))
            time.sleep(pause)
        found[book] = path
    if not found:
        raise TrainingError(f"{url}: has none of the books; name another address: --library ADDRESS")
    return found


def _text(url: str, folder: Path) -> str | None:
    """The text of a book, without licence and notes; None when the address does not have it."""
    other = "--library ADDRESS names another place; --pretrain FILE… takes texts that you have"
    try:
        content = _download(url, f"The same command continues with what is in {folder}; {other}")
    except TrainingError as error:
        if getattr(error.__cause__, "status", None) == HTTPStatus.NOT_FOUND:
            return None
        raise
    body = _BODY.search(content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n"))
    if body is None:
        raise TrainingError(f"{url}: not a book of Project Gutenberg; name another address: --library ADDRESS")
    return _NOTE.sub("", body[1]).replace("_", "").strip() + "\n\n\n"


def _download(url: str, otherwise: str) -> bytes:
    """Returns the content of an address. Raises `TrainingError`, which ends with `otherwise`: what to do instead."""
    try:
        return asyncio.run(_content(url))
    except (OSError, aiohttp.ClientError, ValueError) as error:
        raise TrainingError(f"{url} cannot be downloaded ({error}). {otherwise}") from error


async def _content(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_SECONDS, sock_read=_TIMEOUT_SECONDS)
    session = aiohttp.ClientSession(connector=Connector(), timeout=timeout, raise_for_status=True)
    async with session, session.get(url) as response:
        return await response.read()
