"""What users read where it takes more than one message of `locales`, and the one map from errors to replies."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from fluent.runtime.types import fluent_number

from bot.config.loader import ConfigError
from bot.core.parsing import Prompt, TemperatureError
from bot.core.reply import ECHO, Refused
from bot.core.voice import Voice
from bot.store.errors import StoreError
from generator import GeneratorStatus, InvalidRequest, ModelError, Overloaded, ShuttingDown, Unavailable, WeightsError
from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE
from generator.types import MAX_LENGTH, MAX_PROMPT, Surprisal
from generator.weights.manifest import Manifest

Say = Callable[..., str]
"""`Language.say`, of the user's language."""
_one_digit = partial(fluent_number, minimumFractionDigits=1)
RANGE: Final = {"min": _one_digit(MIN_TEMPERATURE), "max": _one_digit(MAX_TEMPERATURE), "longest": MAX_LENGTH}
"""The variables of every message that names the range of temperatures."""
SUGGESTED: Final = {0.3: "careful", 0.5: "calm", 0.7: "balanced", 0.9: "lively", 1.2: "wild"}
"""Temperatures, and what each does."""
_MAX_ECHO: Final = 24
"""Characters of what was typed that a reply repeats."""
_MAX_LISTED: Final = 8
"""Odd characters of a prompt that a notice lists."""
_SHIPPED_CORPUS: Final = "23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647"
"""The sha256 of the corpus whose title the messages know."""
_FILE_NAME: Final = re.compile(r"(\d+-)?(?P<title>.+?)(-pg\d+)?\.\w+")
"""Of a text: a number that orders it, and Project Gutenberg's, are no part of its title."""
_SMALL_WORD: Final = re.compile(r"(?<= )(A|An|And|In|Of|Or|The|To)\b")
"""In a title, unless it begins with one."""


def book(manifest: Manifest, say: Say) -> str:
    """The title of what the network learnt, as far as it is known: a version names a file."""
    shipped = manifest.corpus.sha256 == _SHIPPED_CORPUS
    return say("book", name="nietzsche" if shipped else _title(manifest.corpus.name))


def title(voice: Voice, say: Say, longest: int | None = None) -> str:
    """Whose manner a voice has: as configured, else the book's title. `longest`: in characters."""
    full = voice.title or book(voice.manifest, say)
    return full if longest is None or len(full) <= longest else f"{full[: longest - 1].rstrip()}…"


def _title(name: str) -> str:
    """The title of a text, from the name of its file; any other name is one."""
    file = _FILE_NAME.fullmatch(name)
    if file is None:
        return name
    title = string.capwords(file["title"].replace("--", ": ").replace("-", " ").replace("_", " "))
    return _SMALL_WORD.sub(lambda word: word[0].lower(), title)


def about(manifest: Manifest, say: Say, title: str = "") -> str:
    """For /about. `title`: of a voice; empty: the book's."""
    corpus, training, symbols = manifest.corpus, manifest.training, len(manifest.vocabulary)
    valid, test = (float(manifest.metrics[f"{split}_bits_per_character"]) for split in ("valid", "test"))
    texts, start = ", ".join(_title(str(name)) for name in training.get("pretrain") or ()), training.get("start_from")
    lines = [
        say("about-book", book=title or book(manifest, say), characters=corpus.characters),
        texts and say("about-pretraining", texts=texts),
        start and say("about-start", version=str(start)),
        say("about-weights", version=manifest.version, preset=manifest.preset, parameters=manifest.parameters),
        say("about-quality", choices=2**valid, symbols=symbols),
        say("about-figures", valid=valid, test=test, blind=math.log2(symbols)),
        say("about-license", license=manifest.license),
    ]
    return "\n".join(filter(None, lines))


def suggestions(own: float | None, default: float | None, say: Say) -> dict[float, str]:
    """Temperatures to offer while a user types one, each with its label: their own, the default if there is one to be
    named, and a few others."""
    offered = {} if own is None else {own: "own"}
    if default is not None:
        offered.setdefault(default, "default")
    offered |= {value: word for value, word in SUGGESTED.items() if value not in offered}
    return {
        value: say("suggestion", temperature=value, word=say(f"suggestion-{word}")) for value, word in offered.items()
    }


def reloaded(before: Mapping[str, str], now: Mapping[str, str], say: Say) -> str:
    """For /reload; the versions before and after it, by command."""
    lines = []
    for command, version in now.items():
        was = before.get(command, "")
        message = "reload-unchanged" if was == version else "reload-done" if was else "reload-added"
        lines.append(say(message, command=command, before=was, now=version))
    lines += [say("reload-removed", command=command) for command in before if command not in now]
    return "\n".join([*lines, say("reload-configured")])


def statistics(figures: GeneratorStatus, version: str, waiting: int, refused: int, say: Say) -> str:
    """For /stats. `waiting`, `refused`: texts that did not reach the generator."""
    totals = say(
        "statistics",
        version=version,
        texts=figures.texts,
        refused=figures.refused + refused,
        failed=figures.failed,
        running=figures.running,
        waiting=figures.queued + waiting,
    )
    characters = "statistics-speed" if figures.speed_measured else "statistics-characters"
    return f"{totals}\n{say(characters, characters=figures.characters, speed=figures.characters_per_second)}"


def surprised(surprise: Surprisal, written_by: str, say: Say) -> str:
    """Below the picture of /surprise; `written_by`: the version that wrote the text."""
    version = surprise.version
    words = ", ".join(say("surprise-word", word=echo(word), bits=round(bits)) for word, bits in surprise.words(3))
    parts = [
        say("surprise-mean", bits=surprise.mean),
        say("surprise-words", words=words) if words else "",
        say("surprise-written-by", author=written_by, version=version) if written_by != version else "",
    ]
    return " ".join(filter(None, parts))


def fitted(prompt: Prompt, say: Say) -> str:
    """What became of a prompt that the network cannot read as it was typed; empty when it can."""
    notices = [say("prompt-shortened", characters=MAX_PROMPT)] if prompt.shortened else []
    dropped = [visible(typed) for typed in prompt.dropped]
    replaced = [say("prompt-replacement", plain=plain, typed=visible(typed)) for typed, plain in prompt.replaced]
    if dropped or replaced:
        change = "both" if dropped and replaced else "dropped" if dropped else "replaced"
        count = len(dropped) + len(replaced) if prompt.text else 0
        listed = {"dropped": _listed(dropped, say), "replaced": _listed(replaced, say)}
        notices.append(say("prompt-changed", change=change, count=count, **listed))
    return " ".join(notices)


def _listed(items: Sequence[str], say: Say) -> str:
    listed, more = ", ".join(items[:_MAX_LISTED]), len(items) - _MAX_LISTED
    return say("and-more", items=listed, more=more) if more > 0 else listed


def visible(character: str) -> str:
    """The character, or its code point when it cannot be seen or would change what stands around it."""
    return character if character.isprintable() and not character.isspace() else f"U+{ord(character):04X}"


def echo(typed: str) -> str:
    """What a user typed, for a sentence: short, on one line, marked so that each platform can escape it."""
    text = printable(typed)
    return ECHO.format(text if len(text) <= _MAX_ECHO else text[: _MAX_ECHO - 1].rstrip() + "…")


def printable(typed: str) -> str:
    """What someone typed on one line, without what cannot be seen, turns the writing round, or cannot be sent."""
    return "".join(character if character.isprintable() else " " for character in typed)


EXPECTED: Final = (Refused, TemperatureError, Overloaded)
"""Errors that are no failure: the user gets a reply, and nothing is logged."""
_FAILURES: Final[dict[type[Exception], str]] = {
    ShuttingDown: "restarting",
    ModelError: "model-failed",
    Unavailable: "unavailable",
    InvalidRequest: "invalid-request",
    ConfigError: "config-refused",
    WeightsError: "weights-refused",
    StoreError: "store-failed",
}


def explain(error: Exception, say: Say) -> str:
    """Returns what a user reads about an error, with what to do instead."""
    if isinstance(error, Refused):
        return say(error.message, **error.values)
    if isinstance(error, Overloaded):
        return say("overloaded-texts", seconds=max(1, math.ceil(error.retry_after)))
    if isinstance(error, TemperatureError):
        values = RANGE | {"typed": echo(error.typed)}
        if error.nearest is None:
            return say("not-a-temperature", **values)
        return say("out-of-range", nearest=_one_digit(error.nearest), **values)
    message = next((message for kind, message in _FAILURES.items() if isinstance(error, kind)), "unexpected")
    return say(message, reason=str(error))
