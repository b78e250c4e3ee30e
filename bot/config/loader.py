"""Loading of the configuration: a TOML file, overridden by environment variables, checked as a whole."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec

from bot.config.schema import BUILT_IN, COMMAND_NAME, KEYS, SECTIONS, Config, GeneratorSection, Secret, VoiceSection
from generator.files import reason
from generator.sampling_params import SETTINGS, SamplingParams
from generator.weights.versions import NIETZSCHE, SHIPPED_VOICES, shipped_folder

PREFIX: Final = "LSTMEGA_"
_VOICE: Final = re.compile(r"voices\..*", re.DOTALL)
"""The section of a voice. It counts if it is empty as well, which is said by a key without a name."""
_Given = tuple[str, str, str, Any, Path | None]
"""A value as it was given: the file and key, or the variable; section; key; value; the folder of the file."""


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds one line for each thing that is wrong, all of them at once."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def default_file() -> Path | None:
    """Returns the configuration of this folder, if there is one."""
    path = Path("config.toml")
    return path if path.is_file() else None


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Reads a configuration file (`None`: all defaults) and the environment's overrides.

    A relative path is relative to the file's folder, or to the current one if a variable gives it; `~` is the home
    folder. An empty text unsets its key. A secret's variable that ends in _FILE names a file with it. Raises
    `ConfigError`: each problem names the file or variable and the key, says what is wrong and what is allowed, and
    repeats no secret.
    """
    problems: list[str] = []
    given: dict[tuple[str, str], tuple[str, Any, Path | None]] = {}
    for place, section, key, value, base in (*(_from_file(path) if path else ()), *_from_variables(environment)):
        name = (section, "cooldown" if (section, key) == ("bot", "rest") else key)  # what 0.1.0 called it
        if _as_documented(name) in KEYS or (_VOICE.fullmatch(section) and not key):
            given[name] = place, value, base
        else:
            problems.append(f"{place}: unknown key; {_hint(key)}")

    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for (section, key), (place, value, base) in given.items():
        if not key:
            values.setdefault(section, {})
        if value == "":
            continue
        kind = KEYS[_as_documented((section, key))]
        plain, meta, *checks = get_args(kind)
        try:
            values.setdefault(section, {})[key] = _converted(kind, value, base)
        except (msgspec.ValidationError, TypeError, ValueError, RuntimeError):
            # A token may stand where an address belongs.
            shown = "that" if plain is Secret or checks else _shown(repr(value), 40)
            problems.append(f"{place}: must be {meta.description}, not {shown}")
    if problems:
        raise ConfigError(problems)

    if "path" not in values["store"]:
        values["store"]["path"] = _state_folder(environment) / "lstmega" / "lstmega.sqlite3"
    bot = values["bot"]
    bot["sampling"] = SamplingParams(**{key: bot.pop(key) for key in SETTINGS if key in bot})
    try:
        config = Config(**{section: kind(**values.pop(section)) for section, kind in SECTIONS.items()})
        return msgspec.structs.replace(config, voices=_voices(values, config.generator))
    except ValueError as error:  # of keys that are right, each alone
        section, key, problem = error.args
        place, *_ = given.get((section, key)) or next(given[name] for name in given if name[0] == section)
        raise ConfigError([f"{place}: {problem}"]) from None


def _as_documented(name: tuple[str, str]) -> tuple[str, str]:
    return _VOICE.sub("voices.NAME", name[0]), name[1]


def _voices(given: dict[str, dict[str, Any]], generator: GeneratorSection) -> dict[str, VoiceSection]:
    """Returns the voices that are on, by name. `given`: their sections.

    Raises `ValueError(section, key, problem)`.
    """
    standard = f"voices.{NIETZSCHE}"
    found: dict[str, VoiceSection] = {}
    for section, keys in (given if standard in given else {standard: {}} | given).items():
        name = section.partition(".")[2]
        voice = VoiceSection(**{"command": name} | keys)
        if not re.fullmatch(COMMAND_NAME, name):
            raise ValueError(section, "", "the name of a voice must be 1 to 32 of the characters a-z, 0-9 and _")
        if not voice.enabled:
            continue
        if voice.command in BUILT_IN:
            raise ValueError(section, "command", f"/{voice.command} is a command of the bot; set another command")
        if other := next((other for other in found if found[other].command == voice.command), None):
            raise ValueError(section, "command", f"/{voice.command} is the command of [voices.{other}] already")
        weights = voice.weights or (generator.weights if name == NIETZSCHE else None)
        if weights is None and not generator.address:
            if name not in SHIPPED_VOICES:
                raise ValueError(section, "weights", "needs weights, the folder that train.py wrote")
            weights = shipped_folder() / SHIPPED_VOICES[name]
        found[name] = msgspec.structs.replace(voice, weights=weights)
    if not found:
        raise ValueError(standard, "enabled", "no voice is enabled; enable one")
    return found


def _state_folder(environment: Mapping[str, str]) -> Path:
    """Returns the folder for state of all programs (https://specifications.freedesktop.org/basedir-spec/latest/)."""
    if state := environment.get("XDG_STATE_HOME"):
        return Path(state)
    try:
        home = Path(environment.get("HOME") or Path.home())
    except RuntimeError:  # a user without a name, as under systemd's DynamicUser
        raise ConfigError(["this user has no home folder; set [store] path, or the variable XDG_STATE_HOME"]) from None
    return home / ".local" / "state"


def _from_file(path: Path) -> Iterator[_Given]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {reason(error)}"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}: is not TOML in UTF-8: {error}; text values stand in quotes"]) from None
    voices = content.get("voices")
    if isinstance(voices, dict):
        del content["voices"]
        content |= {f"voices.{name}": table for name, table in voices.items()}
    for section, table in content.items():
        if isinstance(table, dict):
            if _VOICE.fullmatch(section):
                yield f"{path}: [{_shown(section, 40)}]", section, "", "", path.parent
            for key, value in table.items():
                yield f"{path}: [{_shown(section)}] {_shown(key)}", section, key, value, path.parent
        else:
            yield f"{path}: {_shown(section)}", "", section, table, path.parent


def _from_variables(environment: Mapping[str, str]) -> Iterator[_Given]:
    for variable, text in sorted(environment.items()):
        if variable.startswith(PREFIX):
            section, _, key = variable.removeprefix(PREFIX).lower().rpartition("__")
            section = section.replace("__", ".", 1)  # of voices, which have two parts
            plain = key.removesuffix("_file")
            if plain != key and (section, plain) in KEYS and get_args(KEYS[section, plain])[0] is Secret:
                if path := _unquoted(text):
                    yield variable, section, plain, _secret_file(variable, Path(path), environment), None
            else:
                yield variable[:80], section, key, _unquoted(text), None


def _secret_file(variable: str, path: Path, environment: Mapping[str, str]) -> str:
    """Reads the file that a variable ending in _FILE names, as a secret of Docker or Kubernetes is given."""
    if environment.get(other := variable[: -len("_FILE")]):
        raise ConfigError([f"{variable}: {other} is set too; set one of them"])
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError([f"{variable}: its file cannot be read: {reason(error)}"]) from None
    except ValueError:
        raise ConfigError([f"{variable}: its file is not text in UTF-8"]) from None


def _converted(kind: Any, value: Any, base: Path | None) -> Any:
    """Raises an error of msgspec, `TypeError`, `ValueError`, or `RuntimeError` for an unknown home folder."""
    plain, _, *checks = get_args(kind)
    converted: Any
    if plain is Secret:
        converted = Secret(_unquoted(value).removeprefix("Bot ").strip())
        if re.search(r"\s", converted.reveal()):
            raise ValueError("not one word")
    elif plain in (Path, Path | None):
        text = _unquoted(value)
        if "\0" in text or text == ":memory:":
            raise ValueError("no path")
        converted = (base or Path.cwd()).absolute() / Path(text).expanduser()
    else:
        if base is None and get_origin(plain) is tuple:
            value = [part.strip() for part in value.split(",") if part.strip()]
        converted = msgspec.convert(value, kind, strict=base is not None)
    if not all(check(converted) for check in checks):
        raise ValueError("refused by its type")
    return converted


def _unquoted(text: str) -> str:
    """Takes off the quotes that Docker's --env-file leaves. Raises `TypeError` for no text."""
    if not isinstance(text, str):
        raise TypeError("not a text")
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _shown(text: str, limit: int = 20) -> str:
    """Shortens a wrong value for a message. An unknown key, too: it may be a token pasted into the wrong place."""
    return text if len(text) <= limit else f"{text[: limit // 2]}…"


def _hint(key: str) -> str:
    match = difflib.get_close_matches(key, [known for _, known in KEYS], n=1)
    if not match:
        return f"config.example.toml lists every key; its variable is {PREFIX}<SECTION>__<KEY>"
    return f"did you mean {match[0]} in {' or '.join(f'[{section}]' for section, known in KEYS if known in match)}?"
