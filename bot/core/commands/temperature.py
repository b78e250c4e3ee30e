"""/temperature: the user's own temperature, on every platform they use it."""

from __future__ import annotations

from bot.core import messages
from bot.core.ask import SetTemperature, ShowTemperature, Where
from bot.core.commands.registry import Context, OptionNote, command
from bot.core.parsing import parse_temperature
from bot.core.reply import Reply
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE


def _parse(arguments: str) -> ShowTemperature | SetTemperature:
    if not arguments:
        return ShowTemperature()
    return SetTemperature(None if arguments.lower() == "default" else parse_temperature(arguments))


@command(
    name="temperature",
    usage="/temperature [value|default]",
    purpose="shows, sets or clears your own temperature",
    portuguese="mostra, define ou apaga a sua temperatura",
    options={
        "value": OptionNote(
            f"{MIN_TEMPERATURE} to {MAX_TEMPERATURE}, or default; leave it out to see yours",
            "valor",
            f"de {MIN_TEMPERATURE} a {MAX_TEMPERATURE}, ou default; sem valor, mostra a sua",
        )
    },
    parse=_parse,
    asks=(ShowTemperature, SetTemperature),
    exclusive=True,
    private=True,
)
async def temperature(context: Context, ask: ShowTemperature | SetTemperature, where: Where) -> Reply:
    """Shows, sets or clears the user's own temperature."""
    default = context.settings.sampling.temperature
    if isinstance(ask, ShowTemperature):
        own = await context.store.temperature(where.platform, where.user)
        return Reply.answer(messages.your_temperature(own, default), private=True)
    await context.store.set_temperature(where.platform, where.user, ask.value)
    text = messages.temperature_cleared(default) if ask.value is None else messages.temperature_set(ask.value)
    return Reply.answer(text, private=True)
