"""/temperature and /forgetme: what is stored about a user."""

from __future__ import annotations

from bot.core import buttons, messages
from bot.core.ask import Ask, ForgetMe, Plain, SetTemperature, Where
from bot.core.commands.command import Command, Context, OptionNote
from bot.core.parsing import parse_temperature
from bot.core.reply import Reply
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE


def _parse_temperature(arguments: str) -> Ask:
    if not arguments:
        return Plain("temperature")
    return SetTemperature(None if arguments.lower() == "default" else parse_temperature(arguments))


@Command(
    "temperature",
    "shows, sets or clears your own temperature",
    "mostra, define ou apaga a sua temperatura",
    arguments="[value|default]",
    options={
        "value": OptionNote(
            f"{MIN_TEMPERATURE} to {MAX_TEMPERATURE}, or default; leave it out to see yours",
            "valor",
            f"de {MIN_TEMPERATURE} a {MAX_TEMPERATURE}, ou default; sem valor, mostra a sua",
        )
    },
    ask=SetTemperature,
    parse=_parse_temperature,
    exclusive=True,
    private=True,
)
async def temperature(context: Context, ask: Plain | SetTemperature, where: Where) -> Reply:
    """Shows the user's own temperature, after setting or clearing it if that was asked."""
    if isinstance(ask, SetTemperature):
        await context.store.set_temperature(where.platform, where.user, ask.value)
        own: float | None = ask.value
    else:
        own = await context.store.temperature(where.platform, where.user)
    return Reply(messages.your_temperature(own, context.settings.sampling.temperature))


@Command(
    "forgetme",
    "deletes everything I keep about you",
    "apaga tudo o que guardo sobre você",
    ask=ForgetMe,
    exclusive=True,
    private=True,
)
async def forgetme(context: Context, ask: ForgetMe, where: Where) -> Reply:
    """Deletes everything about the user, or asks whether they mean it."""
    if not ask.confirmed:
        return Reply(messages.CONFIRM_FORGET, actions=(buttons.forgetting(where.user),))
    return Reply(messages.forgotten(await context.store.forget(where.platform, where.user)))
