"""The languages of the bot. The messages of each are the Fluent files (https://projectfluent.org) in a folder of
`locales`, named by its language tag, such as `pt-BR`: another folder is another language."""

from __future__ import annotations

import unicodedata
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Final

from babel import Locale
from fluent.runtime import FluentBundle, FluentResource
from fluent.runtime.types import fluent_number

from generator.weights.versions import NIETZSCHE

LOCALES: Path = Path(__file__).parent / "locales"
ENGLISH: Final = "en"
_SAID: Final = 256
"""Formatted messages that a language keeps: to format those under one text took 9 % of the main thread's time."""


class Language:
    """The messages of one language."""

    def __init__(self, folder: Path) -> None:
        self.tag = folder.name
        self._folder = folder
        self._said = lru_cache(maxsize=_SAID, typed=True)(self._format)

    @property
    def name(self) -> str:
        """What the language is called in itself, such as "português (Brasil)"."""
        return str(self.locale.get_display_name())

    @cached_property
    def locale(self) -> Locale:
        """What Babel knows of the language, such as what it is called in others."""
        return Locale.parse(self.tag, sep="-")

    @cached_property
    def bundle(self) -> FluentBundle:
        """The messages, read when the first of them is needed."""
        bundle = FluentBundle([self.tag], use_isolating=False)
        for file in sorted(self._folder.glob("*.ftl")):
            bundle.add_resource(FluentResource(file.read_text(encoding="utf-8")))
        return bundle

    def say(self, message: str, /, **values: object) -> str:
        """Returns a message, or with "message.attribute" an attribute of it, with its variables filled in.

        Numbers are written as the language does. What the language lacks is said in English. `$voice`, the command that
        a message advises to type, is /nietzsche unless it is given. Raises `LookupError` when English lacks the message
        too, or a variable is missing.
        """
        return self._said(message, **values)

    def _format(self, message: str, /, **values: object) -> str:
        name, _, attribute = message.partition(".")
        variables = {"voice": NIETZSCHE} | {
            key: fluent_number(value, maximumFractionDigits=6) if isinstance(value, float) else value
            for key, value in values.items()
        }
        problems: list[Exception] = []
        for bundle in (each.bundle for each in (self, languages()[ENGLISH])):
            if bundle.has_message(name):
                found = bundle.get_message(name)
                pattern = found.attributes.get(attribute) if attribute else found.value
                if pattern is not None:
                    text, problems = bundle.format_pattern(pattern, variables)
                    if not problems:
                        return str(text)
        raise LookupError(f"message {message}: {problems[0] if problems else 'there is none'}")


@cache
def languages() -> dict[str, Language]:
    """Returns the languages by their tags."""
    return {folder.name: Language(folder) for folder in sorted({file.parent for file in LOCALES.glob("*/*.ftl")})}


def find(locale: str) -> Language | None:
    """Returns the language of a locale in any notation: "pt", "pt-PT" and "pt_BR.UTF-8" are all Portuguese."""
    wanted = locale.strip().partition(".")[0].partition("@")[0].replace("_", "-").lower()
    known = {tag.lower(): language for tag, language in languages().items()}
    alike = (language for tag, language in known.items() if tag.partition("-")[0] == wanted.partition("-")[0])
    return known.get(wanted) or next(alike, None)


def of(locale: str) -> Language:
    """Returns the language of a locale, or English."""
    return find(locale) or languages()[ENGLISH]


def named(typed: str) -> Language | None:
    """Returns the language that a user means: by a locale, or by its name in any of the languages."""
    known = languages().values()
    for each in known:
        names = (each.locale.get_display_name(other.locale) or "" for other in known)
        if _plain(typed) in {plain for name in names for plain in (_plain(name), _plain(name.partition(" (")[0]))}:
            return each
    return find(typed)


def _plain(name: str) -> str:
    """Returns a name without accents and capitals."""
    return "".join(c for c in unicodedata.normalize("NFKD", name.strip().casefold()) if not unicodedata.combining(c))
