"""Loading of the configuration: a TOML file, overridden by environment variables, checked as a whole."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec

from bot.config.schema import (
    DATABASE_URL,
    SECTIONS,
    Config,
    DatabaseFile,
    DatabaseUrl,
    Folder,
    Secret,
    keys,
)
from generator.sampling_params import SETTINGS, SamplingParams

PREFIX: Final = "LSTMEGA_"
FORM: Final = "LSTMEGA_<SECTION>__<KEY>"
"""Of a variable."""
FORMER_KEYS: Final = {("bot", "rest"): "cooldown"}
"""Keys of older versions, which are still accepted."""


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds one line for each thing that is wrong, all of them at once."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Reads a configuration file (`None`: all defaults) and the environment's overrides.

    A relative path is relative to the file's folder, or to the current one if a variable gives it; `~` is the home
    folder. An empty variable unsets its key. Raises `ConfigError`: each problem names the file or variable and the key,
    says what is wrong and what is allowed, and repeats no secret.
    """
    reader = _Reader()
    if path is not None:
        reader.read_file(path)
    for variable, text in sorted(environment.items()):
        if variable.startswith(PREFIX):
            reader.read_variable(variable, text)
    return reader.config(_default_database(environment))


def _default_database(environment: Mapping[str, str]) -> Path:
    """As the XDG base directory specification says, where a relative `XDG_STATE_HOME` is invalid."""
    state = Path(environment.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        state = Path(environment.get("HOME") or Path.home()) / ".local" / "state"
    return state / "lstmega" / "lstmega.sqlite3"


class _Reader:
    """Collects the values and the problems of every source. A later source overrides an earlier one."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
        self._places: dict[tuple[str, str], str] = {}
        """Where each key was set last, for the messages."""

    def read_file(self, path: Path) -> None:
        """Reads every value of a TOML file."""
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
        if section in SECTIONS and isinstance(table, dict):
            for key, value in table.items():
                self._set(section, key, value, f"{path}: [{section}] {_shown(key, 20)}", path.parent)
            return
        name = _shown(section, 20)
        if section in SECTIONS:
            problem = f"{section} must be a section: a line [{section}], and its keys below"
        elif isinstance(table, dict):
            problem = f"[{name}]: unknown section; {_hint(section, SECTIONS)}"
        else:
            problem = f"{name}: is in no section; {_hint(section, SECTIONS)}"
        self.problems.append(f"{path}: {problem}")

    def read_variable(self, variable: str, text: str) -> None:
        """Reads one environment variable."""
        section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
        if section in SECTIONS and FORMER_KEYS.get((section, key), key) in keys(section) and variable.isupper():
            self._set(section, key, _unquoted(text), variable, None)
        else:
            known = [f"{PREFIX}{name}__{key}".upper() for name in SECTIONS for key in keys(name)]
            self.problems.append(f"{variable[:80]}: unknown variable; {_hint(variable.upper(), known)}")

    def _set(self, section: str, key: str, value: Any, place: str, base: Path | None) -> None:
        """Converts a value to the type of its key. `base`: the folder of the file; `None`: the value is a variable."""
        key = FORMER_KEYS.get((section, key), key)
        known = keys(section)
        if key not in known:
            self.problems.append(f"{place}: unknown key; {_hint(key, known)}")
        elif base is None and not value:
            self._values[section].pop(key, None)
        else:
            self._places[section, key] = place
            try:
                self._values[section][key] = _converted(known[key], value, base)
            except (msgspec.ValidationError, TypeError, ValueError, RuntimeError):
                meta = get_args(known[key])[1:]
                allowed = next(str(each.description) for each in meta if each.description)
                shown = "that" if get_args(known[key])[0] is Secret else _shown(repr(value))
                self.problems.append(f"{place}: must be {allowed}, not {shown}")

    def config(self, default_database: Path) -> Config:
        """Returns the configuration of everything that was read. Raises `ConfigError`."""
        store = self._values["store"]
        if store.get("path") and store.get("url"):
            self.problems.append(
                f"{self._places['store', 'url']}: path and url are both set; leave one of them out: path is a file for"
                " one process, url a PostgreSQL that several share"
            )
        if self.problems:
            raise ConfigError(self.problems)
        store["path"] = store.get("path") or default_database
        bot = self._values["bot"]
        bot["sampling"] = SamplingParams(**{key: bot.pop(key) for key in SETTINGS if key in bot})
        sections: dict[str, Any] = {}
        for name, section in SECTIONS.items():
            try:
                sections[name] = section(**self._values[name])
            except ValueError as error:  # of keys that are right each by itself
                key, problem = error.args
                self.problems.append(f"{self._places[name, key]}: {problem}")
        if self.problems:
            raise ConfigError(self.problems)
        return Config(**sections)


def _converted(kind: Any, value: Any, base: Path | None) -> Any:
    """Raises an error of msgspec, `TypeError`, `ValueError`, or `RuntimeError` for an unknown home folder."""
    if kind in (Folder, DatabaseFile):
        text = _unquoted(value)
        if "\0" in text or (kind is DatabaseFile and text == ":memory:"):
            raise ValueError("no path")
        return (base or Path.cwd()).absolute() / Path(text).expanduser() if text else None
    if get_args(kind)[0] is Secret:
        word = _unquoted(value).removeprefix("Bot ").strip()
        if re.search(r"\s", word) or (kind is DatabaseUrl and word and not DATABASE_URL.fullmatch(word)):
            raise ValueError("not one word, or no address")
        return Secret(word)
    if base is None and get_origin(get_args(kind)[0]) is tuple:
        value = [part.strip() for part in value.split(",") if part.strip()]
    return msgspec.convert(value, kind, strict=base is not None)


def _unquoted(text: str) -> str:
    """Takes off the quotes that Docker's --env-file leaves. Raises `TypeError` for no text."""
    if not isinstance(text, str):
        raise TypeError("not a text")
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _shown(text: str, limit: int = 40) -> str:
    """Shortens a wrong value for a message. An unknown key, too: it may be a token pasted into the wrong place."""
    return text if len(text) <= limit else f"{text[: limit // 2]}…"


def _hint(word: str, known: Iterable[str]) -> str:
    """Names the section that a key belongs to, or the most similar of the known names."""
    sections = [f"[{name}]" for name in SECTIONS if word in keys(name)]
    if sections:
        return f"it belongs below {' or '.join(sections)}"
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {match[0]}?" if match else f"config.example.toml lists every key; its variable is {FORM}"
