"""/forgetme: what is stored about a user, deleted."""

from __future__ import annotations

from bot.core import messages
from bot.core.ask import ForgetMe, Where
from bot.core.commands.registry import Context, command
from bot.core.reply import Reply


@command(
    name="forgetme",
    usage="/forgetme",
    purpose="deletes everything I keep about you",
    portuguese="apaga tudo o que guardo sobre você",
    parse=lambda _: ForgetMe(confirmed=True),
    asks=(ForgetMe,),
    exclusive=True,
    private=True,
)
async def forget_me(context: Context, _: ForgetMe, where: Where) -> Reply:
    """Deletes every row about the user."""
    rows = await context.store.forget(where.platform, where.user)
    return Reply.answer(messages.forgotten(rows), private=True)
