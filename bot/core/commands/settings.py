"""What a user sets for themselves, or an administrator for a group: /temperature, /length, /language, /settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from bot.core import buttons, language, messages
from bot.core.ask import Ask, Plain, Set, Settings, Where
from bot.core.commands.command import Command, Context
from bot.core.parsing import parse_temperature
from bot.core.reply import Refused, Reply
from bot.store.store import Preferences
from generator import MAX_LENGTH

OF_EVERYONE: Final = ("temperature", "length", "language", "voice")
"""What users and groups set; a group also says who may use the bot there."""


def _setting(name: str, read: Callable[[str], float | str], unset: str = "default") -> Callable[[str], Ask]:
    """Returns what parses the value of a setting; without one, the command shows the setting."""

    def parse(arguments: str) -> Ask:
        return Set(name, None if arguments.lower() == unset else read(arguments)) if arguments else Plain(name)

    return parse


def _read_length(typed: str) -> int:
    number = re.sub(r"(?<=\d)[.,](?=\d{3}\b)", "", typed)  # 1,200 and 1.200
    if not re.fullmatch(r"\d{1,9}", number) or not 1 <= int(number) <= MAX_LENGTH:
        raise Refused("not-a-length", typed=messages.echo(typed), **messages.RANGE)
    return int(number)


def _read_language(typed: str) -> str:
    if found := language.named(typed):
        return found.tag
    known = ", ".join(each.name for each in language.languages().values())
    raise Refused("unknown-language", typed=messages.echo(typed), known=known)


async def _number(context: Context, ask: Plain | Set, where: Where) -> Reply:
    """Shows the user's own temperature or length, after setting or clearing it if that was asked."""
    name = ask.command
    if isinstance(ask, Set):
        await _set(context, where, name, ask.value)
    where = await context.informed(where)
    own, default = getattr(where.preferences, name), getattr(where.defaults, name)
    if own is None:
        return Reply(where.say(f"{name}-none", default=default))
    return Reply(where.say(f"{name}-own", own=own, default=default))


_Command: Final = partial(Command, options=("value",), exclusive=True, private=True)
temperature = _Command("temperature", parse=_setting("temperature", parse_temperature))(_number)
length = _Command("length", parse=_setting("length", _read_length))(_number)


@_Command("language", parse=_setting("language", _read_language, "auto"))
async def language_(context: Context, ask: Plain | Set, where: Where) -> Reply:
    """Shows the language that the user reads, after setting it if that was asked."""
    if isinstance(ask, Set):
        await _set(context, where, "language", ask.value)
        where = await context.informed(where)
    own, group = (where.preferences or Preferences()).language, where.defaults.language
    said = where.say(f"language-{'own' if own else 'group' if group else 'automatic'}", name=where.spoken.name)
    return Reply(said, actions=buttons.speaking(where), in_place=True, locale=where.spoken.tag)


@Command("settings", ask=Settings, exclusive=True, private=True)
async def settings(context: Context, ask: Settings, where: Where) -> Reply:
    """Shows what the user has set, or the group to its administrators, with a button for each change."""
    names = (*OF_EVERYONE, "access") if ask.group else OF_EVERYONE
    if ask.name == "voice" and ask.value is not None:
        context.voice_of(str(ask.value), where)  # raises if it is gone
    for name in names if ask.reset else filter(None, [ask.name]):
        await _set(context, where, name, ask.value, group=ask.group)
    where = await context.informed(where)
    own, shown = where.preferences or Preferences(), where.chosen
    if ask.group:
        await _refuse_others(where)
        own, shown = await context.store.preferences(where.platform, where.group), where.defaults
    voice = context.preferred(shown)
    others = context.others(voice)
    lines = [where.say("settings-group" if ask.group else "settings-own")]
    for name in names if others else [name for name in names if name != "voice"]:
        value = getattr(shown, name)
        if name == "language":
            value = language.of(value).name if value else where.say("settings-language-automatic")
        if name == "voice":
            value = messages.title(voice, where.say)
        source = "default" if getattr(own, name) is None else "own"
        lines.append(where.say(f"settings-{name}", value=value or "everyone", source=source))
    lines.append(where.say("settings-how"))
    switch = bool(where.group) and (ask.group or await where.administers())
    changed = own != Preferences()
    actions = buttons.adjusting(where, shown, others, group=ask.group, changed=changed, switch=switch)
    return Reply("\n".join(lines), actions=actions, in_place=True, locale=where.spoken.tag)


async def _set(context: Context, where: Where, name: str, value: float | str | None, *, group: bool = False) -> None:
    """Sets a preference of the user or of the group. An anonymous administrator of a group is the group."""
    if group or where.user == where.group:
        await _refuse_others(where)
    await context.store.set_preference(where.platform, where.group if group else where.user, name, value)


async def _refuse_others(where: Where) -> None:
    if not (where.group and await where.administers()):
        raise Refused("administrators-only")
