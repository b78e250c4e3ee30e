"""The settings there are, section by section: their types, ranges and defaults. `bot.config.loader` reads them.

Each key's `Meta.description` says what is allowed, in the words that an error message uses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from generator.types import MAX_LENGTH, MAX_TEMPERATURE, MIN_TEMPERATURE


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that must not be shown. `reveal()` is the only way to it; an empty one is unset and false."""

    _value: str = ""

    def reveal(self) -> str:
        """The text itself, for the one call that needs it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(set)" if self else "Secret(unset)"


def _number(low: float, high: float) -> Meta:
    return Meta(ge=low, le=high, description=f"a number from {low} to {high}")


def _whole(low: int, high: int) -> Meta:
    return Meta(ge=low, le=high, description=f"a whole number from {low} to {high}")


MAX_SHARDS: Final = 100_000
"""More than any bot has: Discord wants one for 2,500 servers at most
(https://discord.com/developers/docs/events/gateway#sharding)."""
Shard = Annotated[int, Meta(ge=0)]
Operator = Annotated[str, Meta(pattern=r"^[a-z]+:\S+$")]
HttpUrl = Annotated[str, Meta(pattern=r"^(https?://\S+)?$", description="an address that begins http:// or https://")]
SocketUrl = Annotated[str, Meta(pattern=r"^(wss?://\S+)?$", description="an address that begins ws:// or wss://")]
Cluster = Annotated[
    str, Meta(pattern=r"^(auto|ray://\S+)?$", description='"auto", an address that begins ray://, or empty')
]
Token = Annotated[Secret, Meta(description="one word of text in quotes, without spaces")]
DatabaseUrl = Annotated[
    Secret,
    Meta(
        description="postgresql://user:password@host:port/database, with @ : / ? # in the password written as"
        " %40 %3A %2F %3F %23"
    ),
]
DATABASE_URL: Final = re.compile(
    r"postgres(?:ql)?://(?:[^\s@/?#]*@)?(?P<place>(?:[\w.,-]|\[[\da-fA-F:.]+\]|%2[Ff]|:\d+)*/[^\s@:/?#]+)(?:\?(?:(?!password=)[^\s@#])*)?"
)
"""As https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS, with a database. What could be a
part of a password is allowed nowhere but in its place, so that `redact_url` shows none."""
Folder = Annotated[Path | None, Meta(description="a path in quotes; empty for the default")]


class BotSection(Struct, frozen=True, kw_only=True):
    """`[bot]`: how texts are written when nobody says otherwise, and who may operate the bot."""

    temperature: Annotated[float, _number(MIN_TEMPERATURE, MAX_TEMPERATURE)] = 0.7
    length: Annotated[int, _whole(1, MAX_LENGTH)] = 400
    rest: Annotated[float, _number(0.0, 3600.0)] = 1.0
    queue: Annotated[int, _whole(1, 10_000)] = 200
    top_p: Annotated[float, Meta(gt=0.0, le=1.0, description="a number above 0, up to 1 (off)")] = 1.0
    min_p: Annotated[float, Meta(ge=0.0, le=1.0, description="a number from 0 (off) to 1")] = 0.0
    operators: Annotated[
        tuple[Operator, ...], Meta(description='a list of "platform:person", such as ["console:local"]')
    ] = ("console:local",)


class DiscordSection(Struct, frozen=True, kw_only=True):
    """`[discord]`: the bot's token, where the platform is when it is not the real one, and which shards connect here.

    `shard_count` 0: as many as Discord recommends; no `shard_ids`: all of them. Raises `ValueError` when the two do not
    go together.
    """

    token: Token = Secret()
    api_url: HttpUrl = ""
    gateway_url: SocketUrl = ""
    shard_ids: Annotated[tuple[Shard, ...], Meta(description="a list of whole numbers from 0, such as [0, 1]")] = ()
    shard_count: Annotated[int, _whole(0, MAX_SHARDS)] = 0

    def __post_init__(self) -> None:
        if self.shard_ids and not self.shard_count:
            raise ValueError("[discord] shard_ids: say how many shards there are in all, in shard_count")
        if any(shard >= self.shard_count for shard in self.shard_ids):
            raise ValueError(
                f"[discord] shard_ids: with shard_count {self.shard_count} the last is {self.shard_count - 1}"
            )
        if len(set(self.shard_ids)) < len(self.shard_ids):
            raise ValueError("[discord] shard_ids: name each shard once")


class TelegramSection(Struct, frozen=True, kw_only=True):
    """`[telegram]`: the bot's token, and where the platform is when it is not the real one."""

    token: Token = Secret()
    api_url: HttpUrl = ""
    webhook_url: HttpUrl = ""
    webhook_secret: Token = Secret()
    webhook_host: Annotated[str, Meta(min_length=1, description="a host name or address in quotes")] = "127.0.0.1"
    webhook_port: Annotated[int, _whole(0, 65535)] = 8443


class GeneratorSection(Struct, frozen=True, kw_only=True):
    """`[generator]`: which weights write (`None`: the shipped ones), on how many threads (0: one per core); or the
    address of the pool that writes instead."""

    weights: Folder = None
    threads: Annotated[int, _whole(0, 256)] = 0
    address: Cluster = ""


class StoreSection(Struct, frozen=True, kw_only=True):
    """`[store]`: the database, a file or a PostgreSQL. `load` fills in the default, so a loaded configuration always
    has a path, which counts where there is no url."""

    path: Folder = None
    url: DatabaseUrl = Secret()
    keep_days: Annotated[int, _whole(0, 36_500)] = 90


class HttpSection(Struct, frozen=True, kw_only=True):
    """`[http]`: where the service shows its health and metrics. Port 0 takes any free one."""

    host: Annotated[str, Meta(min_length=1, description="a host name or address in quotes")] = "127.0.0.1"
    port: Annotated[int, _whole(0, 65535)] = 8080


class LogSection(Struct, frozen=True, kw_only=True):
    """`[log]`: how much is told on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description='"debug", "info", "warning" or "error"')
    ] = "info"


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration, every value in its range."""

    bot: BotSection = BotSection()
    discord: DiscordSection = DiscordSection()
    telegram: TelegramSection = TelegramSection()
    generator: GeneratorSection = GeneratorSection()
    store: StoreSection = StoreSection()
    http: HttpSection = HttpSection()
    log: LogSection = LogSection()

    @property
    def database(self) -> Path | Secret:
        """The database: its file, or the address of a PostgreSQL. Errors are those of `folder`."""
        return self.store.url or self._file

    @property
    def folder(self) -> Path:
        """Where state is kept that is no database's. Raises `ValueError` if `load` did not make the configuration."""
        return self._file.parent

    @property
    def _file(self) -> Path:
        if self.store.path is None:
            raise ValueError("only a configuration that `load` returned names a database")
        return self.store.path


def redact_url(address: Secret) -> str:
    """The address of a PostgreSQL without the user, the password and the options. Raises `ValueError` for another."""
    match = DATABASE_URL.fullmatch(address.reveal())
    if match is None:
        raise ValueError("only a configuration that `load` returned holds an address")
    return f"postgresql://{match['place']}"


SECTIONS: Final[dict[str, type[Struct]]] = {field.name: field.type for field in msgspec.structs.fields(Config)}
"""The sections by name."""


def keys(section: str) -> dict[str, msgspec.structs.FieldInfo]:
    """The keys of a section, by name."""
    return {field.name: field for field in msgspec.structs.fields(SECTIONS[section])}
