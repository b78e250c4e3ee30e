"""/temperature and /forgetme: what is stored about a user."""

from __future__ import annotations

from typing import Final

from bot.core import buttons, messages
from bot.core.ask import Ask, ForgetMe, SetTemperature, ShowTemperature, Where
from bot.core.commands.spec import CommandSpec, Context, OptionNote
from bot.core.parsing import parse_temperature
from bot.core.reply import Reply
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE


def _parse_temperature(arguments: str) -> Ask:
    if not arguments:
        return ShowTemperature()
    return SetTemperature(None if arguments.lower() == "default" else parse_temperature(arguments))


async def _temperature(context: Context, ask: ShowTemperature | SetTemperature, where: Where) -> Reply:
    default = context.settings.sampling.temperature
    if isinstance(ask, ShowTemperature):
        own = await context.store.temperature(where.platform, where.user)
        return Reply.answer(messages.your_temperature(own, default))
    await context.store.set_temperature(where.platform, where.user, ask.value)
    text = messages.temperature_cleared(default) if ask.value is None else messages.temperature_set(ask.value)
    return Reply.answer(text)


async def _forget_me(context: Context, ask: ForgetMe, where: Where) -> Reply:
    if not ask.confirmed:
        return Reply.answer(messages.CONFIRM_FORGET, actions=(buttons.forgetting(where.user),))
    rows = await context.store.forget(where.platform, where.user)
    return Reply.answer(messages.forgotten(rows))


TEMPERATURE: Final = CommandSpec(
    name="temperature",
    arguments="[value|default]",
    purpose="shows, sets or clears your own temperature",
    portuguese="mostra, define ou apaga a sua temperatura",
    options={
        "value": OptionNote(
            f"{MIN_TEMPERATURE} to {MAX_TEMPERATURE}, or default; leave it out to see yours",
            "valor",
            f"de {MIN_TEMPERATURE} a {MAX_TEMPERATURE}, ou default; sem valor, mostra a sua",
        )
    },
    parse=_parse_temperature,
    asks=(ShowTemperature, SetTemperature),
    run=_temperature,
    exclusive=True,
    private=True,
)
FORGETME: Final = CommandSpec(
    name="forgetme",
    purpose="deletes everything I keep about you",
    portuguese="apaga tudo o que guardo sobre você",
    asks=(ForgetMe,),
    run=_forget_me,
    exclusive=True,
    private=True,
)
