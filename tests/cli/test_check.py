"""`check`: one line for each thing, what is wrong with it and what to do."""

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path

import pytest
from conftest import in_background
from discord.http import Route
from service_process import unused_port
from yarl import URL

from bot.cli.main import main
from bot.platforms.discord.inspection import invite_link
from bot.platforms.discord.platform import REFUSED
from bot.platforms.telegram.platform import REJECTED
from bot.store.migrations import MIGRATIONS
from testing.discord import TOKEN as DISCORD_TOKEN
from testing.discord import DiscordServer
from testing.proxy import ProxyServer
from testing.telegram import TelegramServer
from testing.telegram.updates import Webhook

DISCORD = ".".join(("M" * 24, "hushhu", "h" * 27))
TELEGRAM = ":".join(("123456789", "hush" * 9))


@pytest.fixture(autouse=True)
def database(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for a database that is not there yet, beside a small network and an empty current folder."""
    for name in list(os.environ):
        if name.startswith("LSTMEGA_"):
            monkeypatch.delenv(name)
    path = tmp_path / "state" / "lstmega.sqlite3"
    monkeypatch.setenv("LSTMEGA_STORE__PATH", str(path))
    monkeypatch.setenv("LSTMEGA_GENERATOR__WEIGHTS", str(tiny_folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTMEGA_HTTP__PORT", str(unused_port()))
    monkeypatch.setenv("LSTMEGA_TELEGRAM__WEBHOOK_PORT", str(unused_port()))
    return path


def check(capsys: pytest.CaptureFixture[str], status: int, *more: str) -> dict[str, tuple[bool, str]]:
    """Runs it; what it found, by name: whether it is right, and the rest of the line."""
    assert main(["check"]) == status
    out, err = capsys.readouterr()
    assert err == ""
    assert "hush" not in out
    found = {}
    for line in out.splitlines():
        verdict, name, detail = line[:5].strip(), line[7:22].strip(), line[24:]
        assert verdict in {"ok", "wrong"}
        found[name] = (verdict == "ok", detail)
    assert list(found) == ["configuration", "discord token", "telegram token", "http", *more, "weights", "database"]
    assert status == (0 if all(right for right, _ in found.values()) else 1)
    return found


def test_each_voice_has_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[voices.gone]\nweights = 'gone'\n")
    assert main(["check"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "  voice " in line]
    assert [line[:22].strip() for line in lines] == ["ok     voice nietzsche", "wrong  voice gone"]
    assert "gone/CURRENT: no such file" in lines[1]
    assert "[voices.gone] weights names their folder; the bot starts without it" in lines[1]


def test_a_new_installation_is_right(capsys: pytest.CaptureFixture[str], database: Path) -> None:
    found = check(capsys, 0)
    assert "the defaults hold" in found["configuration"][1]
    assert "not set" in found["discord token"][1]
    assert "tiny-1: hashes right; wrote " in found["weights"][1]
    assert "not there yet" in found["database"][1]
    assert not database.parent.exists(), "`check` changes nothing"


def test_everything_set_up_and_right(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(f'[discord]\ntoken = "{DISCORD}"\n')
    monkeypatch.setenv("LSTMEGA_TELEGRAM__TOKEN", TELEGRAM)
    monkeypatch.setattr("sys.stdin", None)
    assert main(["chat"]) == 0
    found = check(capsys, 0)
    assert found["configuration"][1] == "config.toml"
    assert "right shape" in found["discord token"][1]
    assert "right shape" in found["telegram token"][1]
    assert found["database"][1].endswith(": intact")


def test_tokens_of_the_wrong_shape(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTMEGA_DISCORD__TOKEN", TELEGRAM)
    monkeypatch.setenv("LSTMEGA_TELEGRAM__TOKEN", DISCORD)
    found = check(capsys, 1)
    assert found["discord token"] == (
        False, "does not have the shape of one; copy it again from the page Bot of your app"
    )  # fmt: skip
    assert not found["telegram token"][0]


def test_to_whom_the_port_is_open(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    port = os.environ["LSTMEGA_HTTP__PORT"]
    assert check(capsys, 0)["http"][1] == f"127.0.0.1, port {port}: open to this machine alone"
    ipv6 = has_ipv6()
    for host in ("0.0.0.0", *["::"] * ipv6):  # noqa: S104
        monkeypatch.setenv("LSTMEGA_HTTP__HOST", host)
        assert "open to OTHER MACHINES" in check(capsys, 0)["http"][1]
    for host in ("192.0.2.1", "bot.invalid"):
        monkeypatch.setenv("LSTMEGA_HTTP__HOST", host)
        assert f"cannot listen on {host}" in check(capsys, 1)["http"][1]
    for host in ("127.0.0.2", "localhost", *["::1"] * ipv6):
        monkeypatch.setenv("LSTMEGA_HTTP__HOST", host)
        assert "this machine alone" in check(capsys, 0)["http"][1]


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("key", ["HTTP__PORT", "TELEGRAM__WEBHOOK_PORT"])
def test_a_port_that_another_program_has(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("LSTMEGA_TELEGRAM__WEBHOOK_URL", "https://bot.example/hook")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv(f"LSTMEGA_{key}", str(port))
        found = check(capsys, 1, "webhook")["http" if key.startswith("HTTP") else "webhook"]
    assert found[0] is False
    assert found[1].startswith(f"cannot listen on 127.0.0.1, port {port}: ")
    assert found[1].endswith("address already in use; choose another")


def test_the_port_of_the_running_service(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, database: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as http, socket.socket(socket.AF_UNIX) as service:
        port = http.getsockname()[1]
        monkeypatch.setenv("LSTMEGA_HTTP__PORT", str(port))
        database.parent.mkdir()
        service.bind(str(database.parent / f"reload-{port}.sock"))
        service.listen()
        found = check(capsys, 0)
    assert found["http"][1].endswith("open to this machine alone; the service is running")


@pytest.mark.parametrize(
    ("settings", "right", "detail"),
    [
        ({}, True, "this machine alone"),
        ({"SECRET": "right_one-7"}, True, "this machine alone"),
        ({"SECRET": "spoilt!"}, False, "letters, digits"),
        ({"SECRET": "x" * 257}, False, "letters, digits"),
        ({"HOST": "0.0.0.0"}, True, "OTHER MACHINES"),  # noqa: S104
        ({"HOST": "0.0.0.0", "SECRET": "right"}, True, "OTHER MACHINES"),  # noqa: S104
        ({"URL": "http://bot.example/hook"}, False, "https://"),
    ],
)
def test_a_webhook(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    right: bool,  # noqa: FBT001
    detail: str,
) -> None:
    for key, value in ({"URL": "https://bot.example/hook"} | settings).items():
        monkeypatch.setenv(f"LSTMEGA_TELEGRAM__WEBHOOK_{key}", value)
    found = check(capsys, 0 if right else 1, "webhook")["webhook"]
    assert found[0] == right
    assert detail in found[1]


def test_weights_that_were_changed(capsys: pytest.CaptureFixture[str], tiny_folder: Path) -> None:
    model = tiny_folder / "tiny-1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    right, detail = check(capsys, 1)["weights"]
    assert not right
    assert "model.onnx: its sha256" in detail


def test_weights_that_are_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTMEGA_GENERATOR__WEIGHTS", "/nowhere")
    right, detail = check(capsys, 1)["weights"]
    assert not right
    assert "/nowhere/CURRENT" in detail
    assert "[generator] weights" in detail


def test_a_database_that_is_none(capsys: pytest.CaptureFixture[str], database: Path) -> None:
    database.parent.mkdir()
    database.write_bytes(b"Dear diary, " * 500)
    assert "is not an SQLite database" in check(capsys, 1)["database"][1]


def test_a_database_with_rows_of_a_user_who_does_not_exist(
    capsys: pytest.CaptureFixture[str], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["chat"]) == 0
    with sqlite3.connect(database) as other:
        other.execute("INSERT INTO preferences (person_id, temperature) VALUES (77, 0.5)")
    other.close()
    right, detail = check(capsys, 1)["database"]
    assert not right
    assert "a row refers to a user who does not exist" in detail


def test_a_database_where_none_can_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LSTMEGA_STORE__PATH", str(tmp_path / "file" / "lstmega.sqlite3"))
    right, detail = check(capsys, 1)["database"]
    assert not right
    assert "change [store] path" in detail


def test_a_database_in_a_folder_that_takes_no_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for root, to whom the permissions say that everything may be written."""
    monkeypatch.setenv("LSTMEGA_STORE__PATH", "/proc/lstmega/lstmega.sqlite3")
    right, detail = check(capsys, 1)["database"]
    assert not right
    assert detail.startswith("/proc/lstmega/lstmega.sqlite3: ")
    assert "cannot be written" in detail
    assert main(["chat"]) == 2


def test_both_ports_must_be_free_at_the_same_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSTMEGA_TELEGRAM__WEBHOOK_URL", "https://bot.example/hook")
    monkeypatch.setenv("LSTMEGA_TELEGRAM__WEBHOOK_PORT", os.environ["LSTMEGA_HTTP__PORT"])
    found = check(capsys, 1, "webhook")
    assert found["http"][0]
    assert found["webhook"][1].endswith("address already in use; choose another")


@pytest.mark.parametrize(
    ("denied", "detail"),
    [
        ("state", "state cannot be written; change [store] path"),
        ("lstmega.sqlite3", "cannot be written; change its owner"),
    ],
)
def test_a_database_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, denied: str, detail: str
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["chat"]) == 0
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != denied and access(path, mode))
    right, said = check(capsys, 1)["database"]
    assert not right
    assert detail in said


def test_an_old_database_is_not_migrated(capsys: pytest.CaptureFixture[str], database: Path) -> None:
    database.parent.mkdir()
    with sqlite3.connect(database) as old:
        for statement in (*MIGRATIONS[0], "PRAGMA user_version = 1"):
            old.execute(statement)
    old.close()
    before = {path.name: path.read_bytes() for path in database.parent.iterdir()}
    right, detail = check(capsys, 0)["database"]
    assert right
    assert "will be migrated from 1 to " in detail
    assert {path.name: path.read_bytes() for path in database.parent.iterdir()} == before


def test_a_configuration_that_cannot_be_read_is_another_status(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.toml").write_text("[bot]\nlength = 0\n")
    assert main(["check"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "python -m bot check: config.toml: [bot] length: must be a whole number from 1 to 4000, not 0\n"


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTMEGA_TELEGRAM__TOKEN", TELEGRAM)
    port = unused_port()
    monkeypatch.setenv("LSTMEGA_NETWORK__PROXY", f"http://ada:hush-hush@127.0.0.1:{port}")
    right, detail = check(capsys, 1, "proxy")["proxy"]
    assert not right
    assert detail.startswith(
        f"api.telegram.org through http://127.0.0.1:{port}: the proxy http://127.0.0.1:{port} cannot be"
    )


@pytest.mark.usefixtures("no_proxy")
def test_a_malformed_proxy_in_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSTMEGA_TELEGRAM__TOKEN", TELEGRAM)
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:hush-hush@proxy:port")
    right, detail = check(capsys, 1, "proxy")["proxy"]
    assert not right
    assert detail.startswith("HTTPS_PROXY: must be http://user:password@host:port")
    assert main(["run"]) == 2
    assert "HTTPS_PROXY: must be " in capsys.readouterr().err
    monkeypatch.setenv("NO_PROXY", "api.telegram.org")
    check(capsys, 0)


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_the_proxy_that_is_used_and_whether_it_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("LSTMEGA_TELEGRAM__TOKEN", TELEGRAM)
    monkeypatch.setenv("LSTMEGA_TELEGRAM__API_URL", "http://telegram.bot.example")
    proxy, telegram = ProxyServer({}, "ada:hush-hush"), TelegramServer(token=TELEGRAM)
    with in_background(proxy.running(), telegram):
        proxy.routes["telegram.bot.example"] = ("127.0.0.1", URL(telegram.url).port or 0)
        monkeypatch.setenv("LSTMEGA_NETWORK__PROXY", proxy.address(scheme))
        found = check(capsys, 0, "proxy")
        shown = f"{scheme}://127.0.0.1:{proxy.port}"
        assert found["proxy"][1] == f"telegram.bot.example through {shown}: answers"
        monkeypatch.setenv("LSTMEGA_NETWORK__PROXY", proxy.address(scheme).replace("hush-hush", "spoilt-hush"))
        right, detail = check(capsys, 1, "proxy")["proxy"]
    assert not right
    assert shown in detail
    assert "spoilt" not in detail
    assert "answers 407" in detail or "authentication failure" in detail


# ---- asking the platforms ----------


def online(capsys: pytest.CaptureFixture[str], status: int) -> dict[str, tuple[str, str]]:
    """Runs `check --online`: of what comes after the usual lines, the verdict and the detail by name."""
    assert main(["check", "--online"]) == status
    out, err = capsys.readouterr()
    assert err == ""
    assert "hush" not in out
    lines = out.splitlines()
    after = next(number for number, line in enumerate(lines) if line[7:15] == "database") + 1
    return {line[7:22].strip(): (line[:5].strip(), line[24:]) for line in lines[after:]}


@pytest.mark.usefixtures("no_proxy")
def test_a_telegram_that_is_set_up_as_the_bot_needs_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSTMEGA_TELEGRAM__TOKEN", TELEGRAM)
    with in_background(telegram := TelegramServer(token=TELEGRAM)):
        monkeypatch.setenv("LSTMEGA_TELEGRAM__API_URL", telegram.url)
        telegram.settings |= {"can_read_all_group_messages": True}
        found = online(capsys, 0)
        assert {name: verdict for name, (verdict, _) in found.items()} == dict.fromkeys(
            ("telegram", "inline mode", "group privacy", "updates"), "ok"
        )
        assert found["telegram"][1] == "accepts the token of @lstmega_bot (Bot), number 123456789"
        assert "no webhook is set, 0 updates wait; whether another process polls is not tested" in found["updates"][1]
        assert {call.method for call in telegram.calls} == {"getMe", "getWebhookInfo"}, "no poll is disturbed"


@pytest.mark.usefixtures("no_proxy")
def test_what_to_change_at_botfather(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTMEGA_TELEGRAM__TOKEN", TELEGRAM)
    with in_background(telegram := TelegramServer(token=TELEGRAM)):
        monkeypatch.setenv("LSTMEGA_TELEGRAM__API_URL", telegram.url)
        telegram.settings |= {"supports_inline_queries": False, "can_join_groups": False}
        telegram.webhook = Webhook("https://other.example/hush-hush")
        found = online(capsys, 0)
    assert found["inline mode"] == ("note", "off; /setinline at @BotFather turns it on")
    assert found["groups"][0] == "note"
    assert found["group privacy"][0] == "note"
    assert "/setprivacy at @BotFather" in found["group privacy"][1]
    assert found["updates"][0] == "note"
    assert found["updates"][1].startswith("a webhook at other.example is set")


@pytest.mark.usefixtures("no_proxy")
def test_a_token_that_telegram_refuses(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTMEGA_TELEGRAM__TOKEN", TELEGRAM)
    with in_background(telegram := TelegramServer(token=TELEGRAM)):
        monkeypatch.setenv("LSTMEGA_TELEGRAM__API_URL", telegram.url)
        telegram.revoke()
        assert online(capsys, 1)["telegram"] == ("wrong", REJECTED)
        monkeypatch.setenv("LSTMEGA_TELEGRAM__API_URL", f"http://127.0.0.1:{unused_port()}")
        verdict, detail = online(capsys, 1)["telegram"]
    assert verdict == "wrong"
    assert "Cannot connect to host 127.0.0.1" in detail


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("accepted", [True, False])
def test_discord_and_its_invite_link(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, accepted: bool
) -> None:
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setenv("LSTMEGA_DISCORD__TOKEN", DISCORD_TOKEN if accepted else "wrong")
    discord = DiscordServer()
    with in_background(discord.running()):
        monkeypatch.setenv("LSTMEGA_DISCORD__API_URL", discord.url)
        found = online(capsys, 0 if accepted else 1)
        if not accepted:
            assert found == {"discord": ("wrong", REFUSED)}
            return
        assert found["discord"] == ("ok", "accepts the token of lstmega, on 0 servers")
        assert found["invite link"] == ("ok", invite_link(100))
        assert found["intents"] == ("ok", "no privileged one is needed")
        assert not discord.sent("PUT", ""), "`check` changes nothing"
