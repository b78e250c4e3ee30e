"""The configuration: defaults, the file, the environment over it, and every mistake named with its place."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from bot.cli.main import main
from bot.config.loader import PREFIX, ConfigError, load
from bot.config.schema import BUILT_IN, KEYS, Secret, platform_problems, redact_url
from bot.core.commands import COMMANDS
from generator.sampling_params import SamplingParams
from generator.weights.versions import NIETZSCHE, shipped_folder

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.toml"
HOME = {"HOME": "/home/ada"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def problems(path: Path | None, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, HOME | (environment or {}))
    return list(caught.value.problems)


def problem(path: Path | None, environment: dict[str, str] | None = None) -> str:
    found = problems(path, environment)
    assert len(found) == 1, found
    return found[0]


def test_without_a_file_everything_has_a_default() -> None:
    config = load(None, HOME)
    assert config.bot.sampling.temperature == 0.7
    assert config.bot.length == 400
    assert config.bot.operators == ("console:local",)
    assert not config.discord.token
    assert config.generator.weights is None
    assert (config.http.host, config.http.port) == ("127.0.0.1", 8080)


def test_the_example_documents_every_key_at_its_default(file: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    file.write_text(re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE), encoding="utf-8")
    content = tomllib.loads(file.read_text())
    content["voices.NAME"] = content.pop("voices")["nietzsche"]
    documented = {(section, key) for section, table in content.items() for key in table}
    assert documented == KEYS.keys()
    assert load(file, HOME) == load(None, HOME) == load(EXAMPLE, HOME)


def test_the_file_is_used_and_the_environment_wins(file: Path) -> None:
    file.write_text('[bot]\ntemperature = 1\nlength = 300\n[discord]\ntoken = "from.the.file"\n[log]\nlevel = "info"\n')
    config = load(
        file,
        HOME
        | {
            "LSTMEGA_BOT__LENGTH": "200",
            "LSTMEGA_BOT__OPERATORS": "discord:1, telegram:2",
            "LSTMEGA_DISCORD__TOKEN": "from.the.environment",
            "LSTMEGA_TELEGRAM__API_URL": "http://127.0.0.1:8081",
            "LSTMEGA_GENERATOR__THREADS": "2",
        },
    )
    assert config.bot.sampling.temperature == 1.0
    assert config.bot.length == 200
    assert config.bot.operators == ("discord:1", "telegram:2")
    assert config.discord.token.reveal() == "from.the.environment"
    assert config.telegram.api_url == "http://127.0.0.1:8081"
    assert config.generator.threads == 2
    assert config.log.level == "info"


def test_a_voice_has_a_section(file: Path) -> None:
    file.write_text("""
        [generator]
        weights = "/books/zarathustra"
        [voices.classic]
        [voices.melville]
        weights = "weights-moby"
        command = "moby"
        title = "Moby-Dick"
        """)
    voices = load(file, HOME).voices
    assert {name: voice.command for name, voice in voices.items()} == {
        "nietzsche": "nietzsche",
        "classic": "classic",
        "melville": "moby",
    }
    assert voices["nietzsche"].location == (Path("/books/zarathustra"), None)
    assert voices["classic"].location == (shipped_folder(), "nietzsche-lstm")
    assert voices["melville"].location == (file.parent / "weights-moby", None)
    assert voices["melville"].title == "Moby-Dick"


def test_a_voice_of_the_file_comes_first_and_nietzsche_can_be_off(file: Path) -> None:
    file.write_text("[voices.melville]\nweights = 'x'\n[voices.nietzsche]\ntitle = 'Beyond'\n")
    assert [*load(file, HOME).voices] == ["melville", "nietzsche"]
    assert [*load(file, HOME | {"LSTMEGA_VOICES__NIETZSCHE__ENABLED": "false"}).voices] == ["melville"]


def test_the_environment_makes_a_voice_and_names_weights_for_the_standard_one() -> None:
    variables = {"LSTMEGA_GENERATOR__WEIGHTS": "/old", "LSTMEGA_VOICES__MOBY__WEIGHTS": "/moby"}
    voices = load(None, HOME | variables).voices
    assert {name: voice.weights for name, voice in voices.items()} == {
        "nietzsche": Path("/old"),
        "moby": Path("/moby"),
    }
    newer = variables | {"LSTMEGA_VOICES__NIETZSCHE__WEIGHTS": "/new"}
    assert load(None, HOME | newer).voices["nietzsche"].weights == Path("/new")
    place = "LSTMEGA_VOICES__MOBY__COMMAND: "
    assert problem(None, HOME | variables | {place[:-2]: "help"}).startswith(f"{place}/help is a command of the bot")


def test_no_voice_can_have_a_command_of_the_bot() -> None:
    assert COMMANDS.keys() - {NIETZSCHE} == BUILT_IN


def test_paths_count_from_the_file_and_know_the_home_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    file.write_text('[generator]\nweights = "mine"\n[store]\npath = "~/bot.sqlite3"\n')
    config = load(file, HOME)
    assert config.generator.weights == file.parent / "mine"
    assert config.database == Path("/home/ada/bot.sqlite3")
    assert load(None, {"LSTMEGA_STORE__PATH": "here.sqlite3"}).database == Path.cwd() / "here.sqlite3"


def test_the_database_lives_in_the_state_folder() -> None:
    assert load(None, HOME).database == Path("/home/ada/.local/state/lstmega/lstmega.sqlite3")
    with_state = HOME | {"XDG_STATE_HOME": "/var/state"}
    assert load(None, with_state).database == Path("/var/state/lstmega/lstmega.sqlite3")
    assert load(None, with_state | {"LSTMEGA_STORE__PATH": ""}).database == load(None, with_state).database


def test_a_token_is_never_shown(file: Path) -> None:
    secret = ".".join(("NjY2", "hush-hush", "1234567890"))
    file.write_text(f'[discord]\ntoken = "{secret}"\n')
    config = load(file, HOME)
    assert config.discord.token.reveal() == secret
    for text in (repr(config), str(config), str(config.discord.token), f"{config.discord.token}"):
        assert "hush" not in text
    assert bool(Secret("x"))
    assert not Secret()

    file.write_text(f'[discord]\ntoken = ["{secret}"]\n[telegram]\ntoken = "two words {secret}"\n')
    for line in problems(file, {"LSTMEGA_DISCORD__TOKEN": f"{secret} {secret}"}):
        assert "hush" not in line
        assert "token" in line.lower()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://ada:hush@db.example:5433/bot", "db.example:5433/bot"),
        ("postgres://ada:hush%40%3A%2F%3F%23@db.example/bot?sslmode=require", "db.example/bot"),
        ("postgresql://ada:hu:sh@[2001:db8::1]:5432/bot", "[2001:db8::1]:5432/bot"),
        ("postgresql://ada:hush@one.example:5432,two.example:5433/bot", "one.example:5432,two.example:5433/bot"),
        ("postgresql:///bot?host=/run/postgresql", "/bot"),
    ],
)
def test_the_address_of_a_postgres(file: Path, url: str, place: str) -> None:
    file.write_text(f'[store]\nurl = "{url}"\n')
    config = load(file, HOME)
    assert isinstance(config.database, Secret)
    assert config.database.reveal() == url
    assert redact_url(config.database) == f"postgresql://{place}"
    assert config.folder == Path("/home/ada/.local/state/lstmega")
    for text in (repr(config), str(config.database), redact_url(config.database)):
        assert "hu" not in text
    assert load(None, HOME | {"LSTMEGA_STORE__URL": url}).database == config.database


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hu@sh@db.example/bot",
        "postgresql://ada:hu/sh@db.example/bot",
        "postgresql://ada:12/hush@db.example/bot",
        "postgresql://ada:hu?sh@db.example/bot",
        "postgresql://ada:hu#sh@db.example/bot",
        "postgresql://ada:hush@db.example",
        "postgresql://ada:hush/bot",
        "postgresql://ada@db.example/bot?password=hush",
        "postgresql://ada:hu sh@db.example/bot",
        "mysql://ada:hush@db.example/bot",
        "hush",
    ],
)
def test_an_invalid_address_of_a_postgres_is_not_repeated(file: Path, url: str) -> None:
    file.write_text(f'[store]\nurl = "{url}"\n')
    for line in (problem(file), problem(None, {"LSTMEGA_STORE__URL": url})):
        assert (
            "must be postgresql://user:password@host:port/database, with @ : / ? # in the password written as" in line
        )
        assert line.endswith("not that")
        assert "hu" not in line


def test_an_address_replaces_the_file(file: Path) -> None:
    file.write_text('[store]\npath = "here.sqlite3"\nurl = "postgresql://ada:hush@db.example/bot"\n')
    assert isinstance(load(file, HOME).database, Secret)
    assert load(file, HOME).folder == file.parent
    assert load(file, HOME | {"LSTMEGA_STORE__URL": ""}).database == file.parent / "here.sqlite3"


@pytest.mark.parametrize(
    ("text", "wrong", "allowed"),
    [
        ("[bot]\ntemperature = 3.5", "[bot] temperature", "a number from 0.1 to 2.0, not 3.5"),
        ("[bot]\ntemperature = nan", "[bot] temperature", "a number from 0.1 to 2.0, not nan"),
        ("[bot]\ntemperature = inf", "[bot] temperature", "a number from 0.1 to 2.0, not inf"),
        ('[bot]\ntemperature = "0.7"', "[bot] temperature", "a number from 0.1 to 2.0, not '0.7'"),
        ("[bot]\ntemperature = true", "[bot] temperature", "a number from 0.1 to 2.0, not True"),
        ("[bot]\nlength = 0", "[bot] length", "a whole number from 1 to 4000, not 0"),
        ("[bot]\nlength = 10.5", "[bot] length", "a whole number from 1 to 4000"),
        ("[bot]\ntop_p = 0", "[bot] top_p", "above 0, up to 1"),
        ("[bot]\nmin_p = -1", "[bot] min_p", "a number from 0.0 to 1.0"),
        ('[bot]\noperators = "console:local"', "[bot] operators", 'a list of "platform:person"'),
        ('[bot]\noperators = ["telegram:@bob"]', "[bot] operators", "the number of the account, not a name"),
        ("[bot]\ntop_k = -1", "[bot] top_k", "a whole number from 0 to 10000"),
        ("[bot]\nrest = -1", "[bot] rest", "a number from 0.0 to 3600.0"),
        ("[store]\nkeep_days = 0.5", "[store] keep_days", "a whole number from 0 to 36500"),
        ('[store]\npath = ":memory:"', "[store] path", "must be the path of a file, in quotes"),
        ('[bot]\noperators = ["ada"]', "[bot] operators", 'a list of "platform:person"'),
        ('[discord]\napi_url = "discord.com"', "[discord] api_url", "begins http:// or https://"),
        ('[discord]\ngateway_url = "http://x"', "[discord] gateway_url", "begins ws:// or wss://"),
        ("[discord]\nshard_ids = [-1]", "[discord] shard_ids", "a list of whole numbers from 0"),
        ("[discord]\nshard_ids = [0]", "[discord] shard_ids", "shard_count, the number of shards in all, must be more"),
        ("[discord]\nshard_ids = [0, 2]\nshard_count = 2", "[discord] shard_ids", "must be more than each"),
        ("[discord]\nshard_ids = [1, 1]\nshard_count = 2", "[discord] shard_ids", "name each shard once"),
        ('[discord]\napi_url = "http://x:99999"', "[discord] api_url", "begins http:// or https://"),
        ('[telegram]\napi_url = "http://[::1"', "[telegram] api_url", "begins http:// or https://"),
        ('[discord]\ngateway_url = "ws://"', "[discord] gateway_url", "begins ws:// or wss://"),
        ('[access]\nallow = ["telegram:@ada"]', "[access] allow", 'a list such as ["discord:1234"'),
        ('[access]\ndeny = ["console:local"]', "[access] deny", "of numbers, not names"),
        ('[access]\nsilent = "yes"', "[access] silent", "true or false, not 'yes'"),
        ("[access]\nuser_texts = -1", "[access] user_texts", "a whole number from 0 to 1000000000"),
        ('[network]\nproxy = "ftp://ada:hush@proxy"', "[network] proxy", "http://user:password@host:port, https://…"),
        ('[network]\nproxy = "http://ada:hu@sh@proxy"', "[network] proxy", "with @ : / ? # in the password"),
        ('[generator]\naddress = "http://x"', "[generator] address", '"auto", or an address that begins ray://'),
        ("[discord]\nshard_ids = [0]\nshard_count = -1", "[discord] shard_count", "a whole number from 0"),
        ('[generator]\nweights = ["mine"]', "[generator] weights", "a path in quotes"),
        ('[store]\npath = "a\\u0000b"', "[store] path", "the path of a file"),
        ("[generator]\nweights = 3", "[generator] weights", "a path in quotes"),
        ("[http]\nport = 70000", "[http] port", "a whole number from 0 to 65535, not 70000"),
        ('[log]\nlevel = "loud"', "[log] level", '"debug", "info", "warning" or "error", not \'loud\''),
        ("[bot]\ntemprature = 0.7", "[bot] temprature: unknown key", "did you mean temperature in [bot]?"),
        ('[bot]\ntoken = ""', "[bot] token: unknown key", "did you mean token in [discord] or [telegram]?"),
        ("[bto]\ntemperature = 0.7", "[bto] temperature: unknown key", "did you mean temperature in [bot]?"),
        ("[quux]\nzzz = 1", "[quux] zzz: unknown key", "config.example.toml lists every key"),
        ("temperature = 0.7", "temperature: unknown key", "did you mean temperature in [bot]?"),
        ("bot = 3", "bot: unknown key", "config.example.toml lists every key"),
        ("[bot]\ntemperature = 0,7", "is not TOML", "line 2"),
        ("[voices.Melville]\nweights = 'x'", "[voices.Melville]", "must be 1 to 32 of the characters a-z, 0-9 and _"),
        ("[voices.melville]\nweights = 'x'\ncommand = '/moby'", "[voices.melville] command", "must be 1 to 32 of"),
        ("[voices.about]\nweights = 'x'", "[voices.about]", "/about is a command of the bot"),
        ("[voices.moby]\nweights = 'x'\ncommand = 'help'", "[voices.moby] command", "/help is a command of the bot"),
        (
            "[voices.moby]\nweights = 'x'\ncommand = 'nietzsche'",
            "[voices.moby] command",
            "of [voices.nietzsche] already",
        ),
        ("[voices.moby]", "[voices.moby]", "needs weights, the folder that train.py wrote"),
        ("[voices.moby]\ntitel = 'x'", "[voices.moby] titel: unknown key", "did you mean title in [voices.NAME]?"),
        ('[voices.moby]\ntitle = "a\\nb"\nweights = "x"', "[voices.moby] title", "a line of at most 60"),
        ("[voices.nietzsche]\nenabled = false", "[voices.nietzsche] enabled", "no voice is enabled"),
        ("[voices]\nmoby = 'x'", "voices.moby: unknown key", "config.example.toml lists every key"),
        ("voices = 3", "voices: unknown key", "config.example.toml lists every key"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_what_is_allowed(file: Path, text: str, wrong: str, allowed: str) -> None:
    file.write_text(text)
    line = problem(file)
    assert line.startswith(f"{file}: ")
    assert wrong in line
    assert allowed in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("LSTMEGA_BOT__TEMPERATURE", "hot", "a number from 0.1 to 2.0, not 'hot'"),
        ("LSTMEGA_BOT__TEMPERATURE", "nan", "a number from 0.1 to 2.0"),
        ("LSTMEGA_HTTP__PORT", "http", "a whole number from 0 to 65535"),
        ("LSTMEGA_BOT__OPERATORS", "ada,bob", 'a list of "platform:person"'),
        ("LSTMEGA_BOT__OPERATORS", "discord:alice", "the number of the account, not a name, not 'discord:alice'"),
        ("LSTMEGA_DISCORD__SHARD_IDS", "0", "shard_count, the number of shards in all, must be more"),
        ("LSTMEGA_STORE__PATH", ":memory:", "must be the path of a file"),
        ("LSTMEGA_DISCORD__TOKN", "x", "did you mean token in [discord] or [telegram]?"),
        ("LSTMEGA_DISCORD_TOKEN", "x", "its variable is LSTMEGA_<SECTION>__<KEY>"),
        ("LSTMEGA_QQQQQQQQQQQQQQQQQQQQQQQQ", "x", "config.example.toml lists every key"),
    ],
)
def test_a_mistake_in_the_environment_is_named(variable: str, value: str, allowed: str) -> None:
    line = problem(None, {variable: value})
    assert line.startswith(f"{variable}: ")
    assert allowed in line


def test_a_user_without_a_home_folder_needs_a_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the user of the systemd unit is, which has neither HOME nor a line in /etc/passwd."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    assert load(None, {"XDG_STATE_HOME": str(tmp_path)}).folder == tmp_path / "lstmega"
    with pytest.raises(ConfigError, match=r"no home folder; set \[store\] path, or the variable XDG_STATE_HOME"):
        load(None, {})
    assert load(None, {"LSTMEGA_STORE__PATH": str(tmp_path / "db")}).folder == tmp_path


@pytest.mark.parametrize("text", ["", "  ", '""', "''"])
def test_an_empty_variable_unsets_its_key(file: Path, text: str) -> None:
    """As `${NAME:-}` in a compose file gives. The old code refused it for numbers."""
    file.write_text("[bot]\ntemperature = 1.0\nlength = 100\n")
    variables = {f"{PREFIX}{section}__{key}".upper(): text for section, key in KEYS}
    assert load(None, HOME | variables) == load(file, HOME | variables) == load(None, HOME)


@pytest.mark.parametrize(
    "text", ['"MTIz.secret.token"', "'MTIz.secret.token'", "Bot MTIz.secret.token", ' "Bot MTIz.secret.token" ']
)
def test_quotes_and_a_prefix_are_removed_from_a_token(file: Path, text: str) -> None:
    """Docker's --env-file keeps quotes; "Bot" is copied from a header."""
    assert load(None, HOME | {"LSTMEGA_DISCORD__TOKEN": text}).discord.token.reveal() == "MTIz.secret.token"
    file.write_text(f"[discord]\ntoken = {json.dumps(text)}\n")
    assert load(file, HOME).discord.token.reveal() == "MTIz.secret.token"
    assert load(None, HOME | {"LSTMEGA_BOT__LENGTH": '"300"'}).bot.length == 300


@pytest.mark.parametrize(
    ("section", "key"), [(section, key) for (section, key), kind in KEYS.items() if get_args(kind)[0] is Secret]
)
def test_a_secret_can_stand_in_a_file(section: str, key: str, tmp_path: Path) -> None:
    """As a secret of Docker Compose or Kubernetes does."""
    path, text = tmp_path / "secret", "postgresql://ada:hush@db/lstmega" if key == "url" else "hush"
    path.write_text(f"{text}\n")
    variable = f"{PREFIX}{section}__{key}".upper()
    config = load(None, HOME | {f"{variable}_FILE": str(path), variable: ""})
    assert getattr(getattr(config, section), key).reveal() == text
    assert load(None, HOME | {f"{variable}_FILE": "", variable: text}) == config
    both = problem(None, HOME | {f"{variable}_FILE": str(path), variable: text})
    assert both == f"{variable}_FILE: {variable} is set too; set one of them"
    path.write_bytes(b"\xff")
    assert problem(None, {f"{variable}_FILE": str(path)}) == f"{variable}_FILE: its file is not text in UTF-8"
    path.unlink()
    missing = problem(None, {f"{variable}_FILE": str(path)})
    assert missing == f"{variable}_FILE: its file cannot be read: no such file or directory"


def test_only_a_secret_can_stand_in_a_file() -> None:
    assert problem(None, {"LSTMEGA_BOT__LENGTH_FILE": "x"}).startswith("LSTMEGA_BOT__LENGTH_FILE: unknown key")


def test_the_former_name_of_the_cooldown_is_accepted(file: Path) -> None:
    file.write_text("[bot]\nrest = 5\n")
    assert load(file, HOME).bot.cooldown == 5.0
    assert load(file, HOME | {"LSTMEGA_BOT__REST": "2"}).bot.cooldown == 2.0


def test_a_sampling_setting_is_a_key_of_the_bot(file: Path) -> None:
    file.write_text("[bot]\ntemperature = 0.5\ntop_p = 0.9\nmin_p = 0.1\ntop_k = 20\n")
    assert load(file, HOME).bot.sampling == SamplingParams(0.5, 0.9, 0.1, 20)
    assert all(("bot", name) in KEYS for name in SamplingParams.__struct_fields__)


DISCORD = ".".join(("M" * 24, "hushhu", "h" * 27))
TELEGRAM = ":".join(("123456789", "hush" * 9))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, {}),
        ({"DISCORD__TOKEN": DISCORD, "TELEGRAM__TOKEN": TELEGRAM}, {}),
        ({"DISCORD__TOKEN": "abc"}, {"discord token": "copy it again from the page Bot"}),
        ({"DISCORD__TOKEN": "abc", "DISCORD__API_URL": "http://x"}, {}),
        ({"DISCORD__TOKEN": "a.b.c"}, {"discord token": "copy it again"}),
        ({"DISCORD__TOKEN": "a.b.c", "DISCORD__API_URL": "http://x"}, {}),
        ({"TELEGRAM__TOKEN": DISCORD}, {"telegram token": "copy it again from @BotFather"}),
        ({"TELEGRAM__WEBHOOK_SECRET": "a"}, {"webhook": "4 to 256 letters"}),
        ({"TELEGRAM__WEBHOOK_URL": "http://x"}, {"webhook": "https://"}),
        ({"TELEGRAM__WEBHOOK_URL": "http://x", "TELEGRAM__API_URL": "http://x"}, {}),
    ],
)
def test_what_a_platform_would_refuse(settings: dict[str, str], found: dict[str, str]) -> None:
    problems = platform_problems(load(None, HOME | {PREFIX + key: value for key, value in settings.items()}))
    assert problems.keys() == found.keys()
    for name, part in found.items():
        assert part in problems[name]
        assert "hush" not in problems[name]


def test_all_mistakes_are_reported_at_once(file: Path) -> None:
    file.write_text("[bot]\ntemperature = 9\nlenght = 3\n[http]\nport = -1\n[nope]\nx = 1\n")
    found = problems(file, {"LSTMEGA_LOG__LEVEL": "loud"})
    assert len(found) == 5
    for part in ("temperature", "lenght", "port", "nope", "LSTMEGA_LOG__LEVEL"):
        assert any(part in line for line in found)


def test_a_file_that_cannot_be_read(file: Path, tmp_path: Path) -> None:
    assert problem(file) == f"{file}: cannot be read: no such file or directory"
    assert "cannot be read" in problem(tmp_path)
    file.write_bytes(b"\xff\xfe[\0b\0o\0t\0]\0")
    assert "is not TOML in UTF-8" in problem(file)


def test_a_file_with_a_byte_order_mark_is_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[bot]\r\nlength = 123\r\n")
    assert load(file, HOME).bot.length == 123


@pytest.mark.parametrize("variable", ["DISCORD__TOKEN", "TELEGRAM__TOKEN"])
def test_run_refuses_what_check_calls_wrong(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old code went on-line with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(PREFIX + variable, "abc")
    assert main(["run"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(
        f"python -m bot run: {variable.partition('__')[0].lower()} token: does not have the shape of one"
    )
    assert list(tmp_path.iterdir()) == []
