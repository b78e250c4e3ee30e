"""The texts that people bring, each as a file of its kind, read as `train.py` reads it."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import random
import re
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest

from generator.prose import presentable
from generator.training import TrainingError
from generator.training.corpus import Corpus, read_corpus

WORDS = re.findall(
    r"\w+", "the a of cat mat rain river evening morning window garden slowly under over sings sleeps walks remembers"
)


def sentences(count: int, seed: int = 0, words: list[str] = WORDS) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(words, k=draw.randint(5, 14))).capitalize() + "." for _ in range(count)]


PROSE = "\n\n".join(" ".join(sentences(12, seed)) for seed in range(10)) + "\n"


def read(folder: Path, content: bytes | str, name: str = "text.txt", **options: str) -> Corpus:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_corpus(path, **options)  # type: ignore[arg-type]


def wrapped(width: int = 72, indent: str = "", between: str = "\n\n") -> str:
    paragraphs = PROSE.strip().split("\n\n")
    return between.join(textwrap.fill(each, width, initial_indent=indent) for each in paragraphs) + "\n"


def verse(count: int = 200) -> str:
    draw = random.Random(3)
    return "\n".join(" ".join(draw.choices(WORDS, k=draw.randint(5, 8))).capitalize() for _ in range(count)) + "\n"


# ---- lines ----------------------------------------------------------------------------------------------------------

CHINESE = "道可道，非常道。名可名，非常名。無名天地之始；有名萬物之母。故常無欲，以觀其妙，常有欲，以觀其徼。"


@pytest.mark.parametrize(
    ("text", "is_wrapped", "paragraphs"),
    [
        (wrapped(), True, 10),
        (wrapped(between="\n", indent="\t"), True, 10),
        (wrapped(between="\n", indent="    "), True, 10),
        (wrapped() + "x" * 300 + "\n", True, 10),
        (wrapped().upper(), True, 10),
        ("\n\n".join("\n".join(textwrap.wrap(CHINESE * 6, 34)) for _ in range(14)), True, 14),
        (PROSE, False, 10),
        (verse(), False, 1),
        (verse().lower(), False, 1),
        ("\n".join(f"    {line}" if i % 2 else line for i, line in enumerate(verse().split("\n"))), False, 1),
        ("\n".join(f'{i},"{text}",{i * 7}' for i, text in enumerate(sentences(80))), False, 1),
        ("\n".join(f"- {text[:40]}\n- {text[40:60]}" for text in sentences(90)), False, 1),
        ("\n".join(CHINESE[i % 20 : i % 20 + 5] + "，" for i in range(600)), False, 1),
    ],
    ids=[
        "wrapped", "begun by tabs", "begun by spaces", "one long line", "in capitals", "Chinese, wrapped",
        "a line a paragraph", "verse", "verse in lower case", "indented", "CSV", "a list", "Chinese verse",
    ],
)  # fmt: skip
def test_lines_are_wrapped_or_kept_as_the_text_shows(
    *, text: str, is_wrapped: bool, paragraphs: int, tmp_path: Path
) -> None:
    corpus = read(tmp_path, text)
    assert corpus.lines.wrapped is is_wrapped
    shown = presentable(corpus.text, hard_wrapped=corpus.lines.wrapped)
    assert len(shown.removesuffix("\n\n" + "x" * 300).split("\n\n")) == paragraphs
    if not is_wrapped:
        assert shown.count("\n") == text.strip().count("\n")


def test_wrapped_chinese_is_joined_without_a_space(tmp_path: Path) -> None:
    corpus = read(tmp_path, "\n".join(textwrap.wrap(CHINESE * 70, 34)))
    assert presentable(corpus.text, hard_wrapped=corpus.lines.wrapped) == CHINESE * 70


@pytest.mark.parametrize("lines", ["wrapped", "kept"])
def test_what_lines_says_overrides_what_the_text_shows(lines: str, tmp_path: Path) -> None:
    for text in (wrapped(), verse()):
        assert read(tmp_path, text, lines=lines).lines.wrapped == (lines == "wrapped")


def test_verse_ends_at_lines_and_paragraphs_at_sentences(tmp_path: Path) -> None:
    assert read(tmp_path, verse()).lines.short
    assert not read(tmp_path, PROSE).lines.short
    assert not read(tmp_path, wrapped()).lines.short


# ---- encodings ------------------------------------------------------------------------------------------------------

FRENCH = "Ils naissaient égaux en dignité, à la fenêtre, où le garçon rêvait d'été et de forêts. " * 60


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (FRENCH.encode("utf-16"), "UTF-16 or UTF-32, by its mark"),
        (codecs.BOM_UTF16_BE + FRENCH.encode("utf-16-be"), "UTF-16 or UTF-32, by its mark"),
        (FRENCH.encode("utf-32"), "UTF-16 or UTF-32, by its mark"),
        (FRENCH.encode("utf-16-le"), "UTF-16 without a mark, by its zero bytes"),
        (FRENCH.encode("utf-16-be"), "UTF-16 without a mark, by its zero bytes"),
        (FRENCH.encode() + "é".encode()[:1], "cut in its last character, which is left out"),
        (gzip.compress(FRENCH.encode()), "gzip"),
        (FRENCH.encode("utf-8-sig"), ""),
    ],
)
def test_an_encoding_that_is_sure_is_read(content: bytes, note: str, tmp_path: Path) -> None:
    corpus = read(tmp_path, content)
    assert corpus.text == FRENCH
    assert corpus.remarks == ((f"text.txt: {note}",) if note else ())


@pytest.mark.parametrize(
    ("text", "encoding", "advice"),
    [
        (FRENCH, "cp1252", "probably Windows-1252 or ISO 8859-1, --encoding cp1252, which reads “Ils naissaient égaux"),
        (PROSE + "“So!” he said—and left.", "cp1252", "--encoding cp1252, which reads"),
        ("Все люди рождаются свободными и равными в своём достоинстве и правах. " * 60, "cp1251", "--encoding cp1251"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 100, "shift_jis", "--encoding cp932"),
    ],
)
def test_another_encoding_is_named_with_what_it_reads_and_taken(
    text: str, encoding: str, advice: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError) as refused:
        read(tmp_path, text.encode(encoding))
    assert advice in str(refused.value)
    assert read(tmp_path, text.encode(encoding), encoding=encoding).text == text


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"%PDF-1.7 " * 900, "pdftotext"),
        (b"{\\rtf1 " * 900, "pandoc"),
        (b"\xd0\xcf\x11\xe0" * 900, "soffice"),
        (b"PK\x03\x04 not an archive" * 900, "damaged"),
        (gzip.compress(PROSE.encode())[:-90], "damaged"),
    ],
)
def test_what_is_no_text_is_refused_with_the_way_to_its_text(content: bytes, advice: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=advice):
        read(tmp_path, content)


# ---- stray characters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "learnt", "note"),
    [
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07end", "red end", "3 escape sequences dropped"),
        ("N\bNO\bO", "NO", "2 overstruck characters dropped"),
        ("\x1b[K10 %\r90 %\r100 %", "100 %", "1 escape sequences dropped, 2 redrawn lines dropped"),
        ("a\u2028b\u2029c\x85d\fe", "a\nb\nc\nd\ne", "1 U+2028 → line break, 1 U+2029 → line break, 1 U+0085 → line"),
        ("dif\xad\nficult word", "difficult\nword", "1 soft hyphens dropped"),
        ("cafe\u0301", "café", "1 characters composed (NFC)"),
        ("a\x00b\u200ec", "abc", "1 U+0000 dropped, 1 U+200E dropped"),
        ("👩\u200d🚀️ 🏴\U000e0067\U000e007f", "👩\u200d🚀️ 🏴\U000e0067\U000e007f", ""),
        ("old\rMac", "old\nMac", ""),
    ],
)
def test_stray_characters_are_not_learnt_and_counted(written: str, learnt: str, note: str, tmp_path: Path) -> None:
    corpus = read(tmp_path, PROSE + written)
    assert corpus.text == PROSE + learnt
    assert note in "".join(corpus.remarks)


# ---- containers -----------------------------------------------------------------------------------------------------


def archive(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return content.getvalue()


def test_files_folders_and_archives_are_one_text_in_the_order_of_their_names(tmp_path: Path) -> None:
    parts = [f"Part {i}. " + text for i, text in enumerate(PROSE.strip().split("\n\n"), 1)]
    together = "\n\n".join(parts) + "\n"
    folder = tmp_path / "book"
    (folder / ".git").mkdir(parents=True)
    for i in reversed(range(10)):
        (folder / f"chapter {i + 1}.txt").write_text(parts[i] + "\n\n")
    for other in ("cover.jpg", ".git/notes.txt"):
        (folder / other).write_text("none of it")
    corpus = read_corpus(folder)
    assert corpus.text == together
    assert corpus.remarks == ("book: a folder of 10 texts, 1 others left out",)
    assert corpus.note.name == "book"
    paths = [folder / f"chapter {i}.txt" for i in range(1, 11)]
    assert read_corpus(*paths).text == together
    assert read_corpus(*paths).note.name == "chapter 1.txt and 9 more"
    packed = archive(
        {path.name: path.read_text() for path in reversed(paths)} | {"a.png": "-", "__MACOSX/._chapter 1.txt": "-"}
    )
    corpus = read(tmp_path, packed, "book.zip")
    assert corpus.text == together
    assert corpus.remarks == ("book.zip: an archive of 10 texts",)


def test_an_epub_is_read_in_the_order_of_its_spine_without_its_contents_page(tmp_path: Path) -> None:
    head = "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><head><title>T</title><style>p{}</style></head>"
    first, second = (
        f"{head}<body><h1>{title}</h1>{''.join(f'<p>{line}</p>' for line in lines)}</body></html>"
        for title, lines in (("One", ["An <em>em</em>phasis &amp;\n more", "a<br/>b"]), ("Two", PROSE.split("\n\n")))
    )
    book = {
        "META-INF/container.xml": "<container><rootfiles><rootfile full-path='O/b.opf'/></rootfiles></container>",
        "O/b.opf": "<package><manifest><item id='n' href='nav.xhtml' properties='nav'/><item id='a' href='a.xhtml'/>"
        "<item id='z' href='z%201.xhtml'/></manifest>"
        "<spine><itemref idref='n'/><itemref idref='z'/><itemref idref='a'/></spine></package>",
        "O/nav.xhtml": f"{head}<body>Contents</body></html>",
        "O/a.xhtml": second,
        "O/z 1.xhtml": first,
    }
    corpus = read(tmp_path, archive(book), "book.epub")
    assert corpus.text == "One\n\nAn emphasis & more\n\na\nb\n\nTwo\n\n" + PROSE
    assert corpus.remarks == ("book.epub: an EPUB of 2 chapters",)


def test_a_word_file_has_a_line_for_each_paragraph_and_nothing_that_was_deleted(tmp_path: Path) -> None:
    runs = "<w:p><w:r><w:t>One wo</w:t></w:r><w:r><w:t>rd</w:t><w:tab/><w:t>a</w:t><w:br/><w:t>b</w:t></w:r></w:p>"
    runs += "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:t>&lt;kept&gt;</w:t></w:r></w:p>"
    runs += "".join(f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in PROSE.strip().split("\n\n"))
    corpus = read(
        tmp_path, archive({"word/document.xml": f"<w:document><w:body>{runs}</w:body></w:document>"}), "a.docx"
    )
    assert corpus.text == "One word\ta\nb\n<kept>\n" + PROSE.replace("\n\n", "\n")


def test_of_a_page_of_html_only_the_text_is_learnt(tmp_path: Path) -> None:
    page = "<!DOCTYPE html><html><head><title>T</title><script>if (a < b) x()</script></head><body><nav>One</nav>"
    page += "<h1>Head</h1><!-- no --><ul><li>one<li>two</ul>" + "".join(f"<p>{p}</p>\n" for p in PROSE.split("\n\n"))
    corpus = read(tmp_path, page + "<pre>  a\n    b</pre></body></html>", "page.html")
    assert corpus.text == "Head\n\none\ntwo\n\n" + PROSE + "\n  a\n    b\n"
    assert corpus.remarks == ("page.html: an HTML page, read without its tags",)


@pytest.mark.parametrize(
    ("name", "text", "learnt"),
    [
        ("part.txt", "".join(f"<p class=x>{p}</p>\n" for p in PROSE.split("\n\n")), PROSE),
        ("part.txt", f"<DIV>\n<h2>Head</h2><div>{PROSE.replace('|', ' ')}</div></DIV>", None),
        ("part.htm", PROSE.replace("\n\n", "<P>\n"), PROSE),
        ("kept.md", f"<p align=center>Head</p>\n\n{PROSE}", "<p align=center>Head</p>\n\n" + PROSE),
        ("kept.txt", f"<Ann> {PROSE}", f"<Ann> {PROSE}"),
    ],
)
def test_a_part_of_a_page_is_learnt_without_its_tags(tmp_path: Path, name: str, text: str, learnt: str | None) -> None:
    corpus = read(tmp_path, text, name)
    assert ("<" in corpus.text) == name.startswith("kept")
    assert (corpus.remarks == (f"{name}: an HTML page, read without its tags",)) == name.startswith("part")
    if learnt is not None:
        assert corpus.text.strip() == learnt.strip()


# ---- chats ----------------------------------------------------------------------------------------------------------

ANN, BEN = sentences(70, 1), sentences(70, 2)
SPOKEN = "".join(f"{a}\n{b}\n" for a, b in zip(ANN, BEN, strict=True))


def android(stamp: str) -> str:
    lines = [
        f"{stamp} - Messages and calls are end-to-end encrypted.",
        f'{stamp} - Ann changed the name to "Cats: all"',
    ]
    for a, b in zip(ANN, BEN, strict=True):
        lines += [f"{stamp} - Ann: {a}", f"{stamp} - Ben Smith: {b}"]
    lines += [
        f"{stamp} - Ann: <Media omitted>",
        f"{stamp} - Ben Smith: null",
        f"{stamp} - Ann: You deleted this message",
    ]
    return "\n".join(lines) + "\n"


def iphone() -> str:
    lines = ["[1/3/24, 9:05:11 PM] Cats: \u200eMessages and calls are end-to-end encrypted."]
    for a, b in zip(ANN, BEN, strict=True):
        lines += [f"[1/3/24, 9:05:12 PM] Ann: {a}", f"[1/3/24, 9:05:13 PM] ~\u202fBen Smith: {b}"]
    lines += ["\u200e[1/3/24, 9:06:11 PM] Ann: \u200eimage omitted", "\u200e[1/3/24, 9:06:12 PM] Ann: \u200edeleted."]
    lines += ["[1/3/24, 9:06:13 PM] Cats: \u200eAnn changed the name"]
    return "\r\n".join(lines) + "\r\n"


def telegram() -> str:
    messages = [{"type": "service", "actor_id": "user1", "text": ""}]
    for a, b in zip(ANN, BEN, strict=True):
        cut = len(a) // 2
        messages.append({"type": "message", "from": "Ann", "text": [a[:cut], {"type": "bold", "text": a[cut:]}]})  # type: ignore[dict-item]
        messages.append({"type": "message", "from": "Ben Smith", "text": b})
    messages += [{"type": "message", "from": "Ann", "text": ""}]
    messages += [{"type": "message", "from": "Ann", "forwarded_from": "X", "text": "not hers"}]
    return json.dumps({"name": "Cats", "messages": messages})


def discord() -> str:
    people = {"Ann": {"name": "ann1", "nickname": "Ann"}, "Ben Smith": {"name": "Ben Smith", "nickname": None}}
    messages = [{"type": "GuildMemberJoin", "content": "Joined.", "author": people["Ann"]}]
    for a, b in zip(ANN, BEN, strict=True):
        messages.append({"type": "Default", "content": a, "author": people["Ann"]})
        messages.append({"type": "Reply", "content": b, "author": people["Ben Smith"]})
    messages.append({"type": "Default", "content": "4", "author": {"name": "dice", "isBot": True}})  # type: ignore[dict-item]
    messages.append({"type": "Default", "content": "", "author": people["Ann"]})
    return json.dumps({"guild": {}, "messages": messages})


@pytest.mark.parametrize(
    ("name", "content", "kind", "left_out"),
    [
        ("chat.txt", android("12/03/2024, 21:04"), "WhatsApp", 5),
        ("chat.txt", android("12.03.24, 21:04"), "WhatsApp", 5),
        ("chat.txt", android("3/12/24, 9:04\u202fPM"), "WhatsApp", 5),
        ("_chat.txt", iphone(), "WhatsApp", 4),
        ("result.json", telegram(), "Telegram", 3),
        ("cats.json", discord(), "Discord", 3),
    ],
)
def test_of_a_chat_only_what_people_wrote_is_learnt(
    name: str, content: str, kind: str, left_out: int, tmp_path: Path
) -> None:
    corpus = read(tmp_path, content, name)
    assert corpus.text == SPOKEN
    assert f"a {kind} export: 140 messages of 2 people" in corpus.remarks[0]
    assert f" {left_out} entries" in corpus.remarks[0]
    assert not corpus.lines.wrapped
    assert corpus.lines.short
    alone = read(tmp_path, content, name, speaker="ben smith")
    assert alone.text == "".join(f"{line}\n" for line in BEN)
    assert "ask ben smith first" in alone.remarks[-1]
    with pytest.raises(TrainingError, match=r"'Zoe' is not in this chat; there are Ann, Ben Smith|Ben Smith, Ann"):
        read(tmp_path, content, name, speaker="Zoe")


def test_a_message_of_several_lines_is_one_and_an_edit_leaves_no_mark(tmp_path: Path) -> None:
    more = "12/03/2024, 21:05 - Ann: One\n12/03/1859 - London: two <This message was edited>\n"
    corpus = read(tmp_path, android("12/03/2024, 21:04") + more)
    assert corpus.text == SPOKEN + "One\n12/03/1859 - London: two\n"


def test_someone_who_wrote_little_is_refused_with_both_numbers(tmp_path: Path) -> None:
    more = "12/03/2024, 21:05 - Cy: Hello.\n"
    with pytest.raises(
        TrainingError, match=r"messages of Cy: 6 characters are too few to learn from; at least 3,000 are needed"
    ):
        read(tmp_path, android("12/03/2024, 21:04") + more, speaker="Cy")


@pytest.mark.parametrize("more", [{}, {"chats": []}, {"chats": {"list": [1]}}, {"messages": 5}])
def test_json_that_is_no_chat_is_named(tmp_path: Path, more: dict[str, Any]) -> None:
    assert "JSON of no chat that is known" in read(tmp_path, json.dumps({"text": PROSE} | more), "a.json").remarks[0]
