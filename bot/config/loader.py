"""What the person who runs the bot decides: a TOML file, overridden by environment variables, checked as a whole.

Every key is documented in `config.example.toml`. A variable `LSTMEGA_<SECTION>__<KEY>` overrides any key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from bot.config.schema import DATABASE_URL, SECTIONS, Config, DatabaseUrl, Folder, Secret, keys

PREFIX: Final = "LSTMEGA_"
_MAX_SHOWN: Final = 40
"""Characters of a wrong value that an error repeats."""


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds one line for each thing that is wrong, all of them at once."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Reads a configuration file (`None`: all defaults) and the environment's overrides.

    Relative paths count from the file's folder, or from the current folder when a variable gives them; `~` is the
    home folder. Raises `ConfigError` with every problem: each names the file or variable and the key, says what is
    wrong and what is allowed. No message repeats a token.
    """
    reader = _Reader()
    if path is not None:
        reader.read_file(path)
    for variable, text in sorted(environment.items()):
        if variable.startswith(PREFIX):
            reader.read_variable(variable, text)
    values = reader.values
    if values["store"].get("path") and values["store"].get("url"):
        reader.problems.append(
            "[store]: path and url are both set; leave one of them out: path is a file for one process,"
            " url a PostgreSQL that several share"
        )
    if reader.problems:
        raise ConfigError(reader.problems)
    values["store"]["path"] = values["store"].get("path") or _default_database(environment)
    try:
        sections: dict[str, Any] = {name: SECTIONS[name](**content) for name, content in values.items()}
    except ValueError as error:  # of keys that are right each by itself
        raise ConfigError([f"{path}: {error}" if path else str(error)]) from error
    return Config(**sections)


def _default_database(environment: Mapping[str, str]) -> Path:
    """Where state lives by the XDG base directory specification; a relative `XDG_STATE_HOME` is invalid there."""
    state = Path(environment.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        state = Path(environment.get("HOME") or Path.home()) / ".local" / "state"
    return state / "lstmega" / "lstmega.sqlite3"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A value for a key that exists. `place` says where it stands, `base` is what a relative path counts from, and
    `text` that it is text whatever its type is to be."""

    section: str
    key: str
    value: Any
    place: str
    base: Path
    text: bool = False

    def convert(self) -> Any:
        """The value as the key's type. Raises `ValueError`, which says what is allowed."""
        wanted = keys(self.section)[self.key].type
        plain = get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted
        try:
            if wanted is Folder:
                return _path(self.value, self.base)
            if wanted is DatabaseUrl:
                return _database_url(self.value)
            if plain is Secret:
                return _secret(self.value)
            value = self.value
            if self.text and get_origin(plain) is tuple:
                value = [part.strip() for part in value.split(",") if part.strip()]
            return msgspec.convert(value, wanted, strict=not self.text)
        except (msgspec.ValidationError, TypeError, ValueError, RuntimeError) as error:
            allowed = next(str(meta.description) for meta in get_args(wanted)[1:] if meta.description)
            shown = "that" if plain is Secret else _shown(self.value)
            raise ValueError(f"{self.place}: must be {allowed}, not {shown}") from error


class _Reader:
    """Collects values, converted to the types of their keys, and all that is wrong with what it is given."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
        self.problems: list[str] = []

    def read_file(self, path: Path) -> None:
        """Takes every value of a TOML file; relative paths in it count from its folder."""
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            self.problems.append(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}")
        except UnicodeDecodeError:
            self.problems.append(f"{path}: is not UTF-8 text; save it as UTF-8")
        except tomllib.TOMLDecodeError as error:
            self.problems.append(f"{path}: is not TOML: {error}; text values stand in quotes")
        else:
            for section, table in content.items():
                self._read_section(path, section, table)

    def _read_section(self, path: Path, section: str, table: Any) -> None:
        if section not in SECTIONS:
            self.problems.append(f"{path}: {_unknown_section(section, table)}")
            return
        if not isinstance(table, dict):
            self.problems.append(f"{path}: {section} must be a section: a line [{section}], and its keys below")
            return
        for key, value in table.items():
            place = f"{path}: [{section}] {_shown_key(key)}"
            if key in keys(section):
                self._take(_Entry(section, key, value, place, path.parent))
            else:
                self.problems.append(f"{place}: unknown key; {_nearest(key, section)}")

    def read_variable(self, variable: str, text: str) -> None:
        """Takes the value of one environment variable; a relative path counts from the current folder."""
        section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
        if section in SECTIONS and key in keys(section) and variable == variable.upper():
            self._take(_Entry(section, key, text, variable, Path.cwd(), text=True))
        else:
            self.problems.append(f"{variable[:80]}: unknown variable; {_near(variable.upper(), _variables())}")

    def _take(self, entry: _Entry) -> None:
        try:
            self.values[entry.section][entry.key] = entry.convert()
        except ValueError as error:
            self.problems.append(str(error))


def _unknown_section(name: str, table: Any) -> str:
    if isinstance(table, dict):
        return f"[{_shown_key(name)}]: unknown section; {_near(name, SECTIONS)}"
    return f"{_shown_key(name)}: is in no section; {_home(name) or _near(name, SECTIONS)}"


def _home(key: str) -> str:
    """The sections that do have a key of this name."""
    homes = [f"[{section}]" for section in SECTIONS if key in keys(section)]
    return f"it belongs below {' or '.join(homes)}" if homes else ""


def _secret(value: Any) -> Secret:
    if not isinstance(value, str) or re.search(r"\s", value.strip()):
        raise TypeError("not one word")
    return Secret(value.strip())


def _database_url(value: Any) -> Secret:
    secret = _secret(value)
    if secret and not DATABASE_URL.fullmatch(secret.reveal()):
        raise ValueError("not the address of a PostgreSQL")
    return secret


def _path(value: Any, base: Path) -> Path | None:
    """Raises `TypeError` for no text, `ValueError` for a null byte, `RuntimeError` for an unknown home folder."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    if "\0" in value:
        raise ValueError("a path holds no null byte")
    return base.absolute() / Path(value).expanduser() if value.strip() else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _shown_key(key: str) -> str:
    """A key that nobody knows may be a token pasted into the wrong place: a long one is not repeated whole."""
    return key if len(key) <= 20 else key[:8] + "…"


def _variables() -> list[str]:
    return [f"{PREFIX}{section}__{key}".upper() for section in SECTIONS for key in keys(section)]


def _nearest(key: str, section: str) -> str:
    return _home(key) or _near(key, keys(section))


def _near(word: str, known: Iterable[str]) -> str:
    known = list(known)
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if match:
        return f"did you mean {match[0]}?"
    if len(known) > 10:
        return "config.example.toml lists every key; the variable of one is LSTMEGA_<SECTION>__<KEY>"
    return f"there are: {', '.join(known)}"
