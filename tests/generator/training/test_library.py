"""`train.py --library`, against a loopback server that has books in the form of Project Gutenberg."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from generator.training import TrainingError
from generator.training.texts import download

BOOK = (
    "\ufeffThe Project Gutenberg eBook of Tales\r\n\r\n*** START OF THE PROJECT GUTENBERG EBOOK TALES ***\r\n"
    "[Illustration: A ship]\r\n\r\nIt was a _dark_ night.\r\n\r\n"
    "*** END OF THE PROJECT GUTENBERG EBOOK TALES ***\r\nLicence\r\n"
)


@contextmanager
def server(answers: dict[str, tuple[int, str]]) -> Iterator[tuple[str, list[str]]]:
    """Serves the answers by their paths. Yields the address of a book, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, body = answers.get(self.path, (404, ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}/{{number}}.txt", asked
        finally:
            running.shutdown()
            thread.join()


def book(number: int, kind: str = "fiction") -> download.Book:
    return download.Book(kind, number, f"Book {number}")


def test_the_list_ends_with_the_books_nearest_to_the_corpus() -> None:
    books = download.books()
    assert list(dict.fromkeys(book.kind for book in books)) == [
        "fiction", "literature", "philosophy", "nietzsche",
    ]  # fmt: skip
    assert len({book.number for book in books}) == len(books) > 300


def test_a_book_is_fetched_once_without_licence_and_notes(tmp_path: Path) -> None:
    with server({"/7.txt": (200, BOOK)}) as (url, asked):
        for _ in range(2):
            found = download.fetch([book(7)], tmp_path / "library", url, pause=0)
            assert found[book(7)].read_text(encoding="utf-8") == "It was a dark night.\n\n\n"
        assert asked == ["/7.txt"]


def test_a_book_that_is_not_there_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with server({"/7.txt": (200, BOOK)}) as (url, _):
        assert list(download.fetch([book(6), book(7)], tmp_path, url, pause=0)) == [book(7)]
    assert "left out, since it is not there: Book 6" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, "<html>Log in to the network</html>", "not a book of Project Gutenberg"),
        (503, "", "cannot be downloaded"),
        (404, "", "has none of the books"),
    ],
)
def test_an_address_without_books_is_refused(tmp_path: Path, status: int, body: str, problem: str) -> None:
    with server({"/7.txt": (status, body)}) as (url, _), pytest.raises(TrainingError, match=problem):
        download.fetch([book(7)], tmp_path, url, pause=0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/{number}", "nonsense-{number}"])
def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, url: str) -> None:
    with pytest.raises(TrainingError, match=r"cannot be downloaded .* --pretrain FILE"):
        download.fetch([book(7)], tmp_path, url)


def test_an_address_without_a_place_for_the_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"wants \{number\}"):
        download.fetch([book(7)], tmp_path, "http://127.0.0.1:9/{book}")
