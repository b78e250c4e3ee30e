"""/nietzsche, /continue, /again and /ladder: texts from the network."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from bot.core import buttons, messages
from bot.core.ask import Again, Ask, Continue, Invalid, Ladder, Where, Write
from bot.core.commands.command import OVERSHOOT, Command, Context
from bot.core.parsing import Prompt, TemperatureError, fit_prompt, is_unclear, split_temperature
from bot.core.reply import Outdated, Passage, Refused, Reply
from bot.core.voice import Voice
from bot.store.errors import StoreError
from bot.store.store import KEPT_TEXTS, Conversation
from generator import MAX_PROMPT, MAX_SEED, Continuation, Generation, GenerationRequest, InvalidRequest, ScoringRequest
from generator.prose import presentable
from generator.weights.versions import NIETZSCHE

LADDER_TEMPERATURES: Final = (0.5, 0.6, 0.7, 0.8, 0.9)
TAIL: Final = MAX_PROMPT
"""Characters of a text that are stored: new weights read them when the saved state belongs to old ones."""
UNFINISHED: Final = " …"
"""After the text so far, so that it does not look finished where it stays, as after /cancel."""
USER_ID_TIMEOUT_SECONDS: Final = 2.0
"""How long a text that holds a slot waits for the database to make a new user known. After that it is written and not
stored: a slow database must not fill the slots with texts that are not being written."""
STREAM_AFTER_SECONDS: Final = 1.0
"""A text is streamed by sentence after that. Platforms show no sentence before
`bot.platforms.growing.GROW_AFTER_SECONDS`, and sending each from the generator costs both processes time."""
log = logging.getLogger(__name__)


def parse_write(arguments: str, voice: str | None = "", command: str = NIETZSCHE) -> Ask:
    """Returns the text that is asked for behind a command, or by words without one, of a voice as in `Write`."""
    try:
        temperature, prompt = split_temperature(arguments)
    except TemperatureError as error:
        return Invalid(command, error)
    return Write(temperature, prompt, is_unclear=temperature is None and is_unclear(prompt), voice=voice)


def _parse_ladder(arguments: str) -> Ask:
    try:
        temperature, prompt = split_temperature(arguments)
    except TemperatureError:  # a number that is no temperature, so it belongs to the prompt
        return Ladder(arguments)
    return Ladder(prompt, temperature)


@Command("nietzsche", options=("temperature", "prompt", "length"), ask=Write, parse=parse_write, writes=True)
async def nietzsche(context: Context, ask: Write, where: Where) -> Reply:
    """Writes a text at the temperature that was asked for, else the user's own, else the default."""
    if ask.temperature is None and where.preferences is None:  # the store failed, so this raises why, or succeeds now
        where = await context.informed(where)
    temperature = ask.temperature or where.chosen.temperature or context.settings.sampling.temperature
    reply = await _write(context, where, ask.prompt, [temperature], voice=ask.voice, length=ask.length)
    hint = where.say("temperature-hint") if ask.is_unclear else ""
    return replace(reply, notice=" ".join(filter(None, (reply.notice, hint))))


@Command("continue", ask=Continue, bare=True, writes=True)
async def continue_(context: Context, ask: Continue, where: Where) -> Reply:
    """Continues the last text from its saved state."""
    try:
        user_id, text = await find_text(context, where, ask.slot)
    except Refused:
        if not ask.prompt:
            raise
        return await nietzsche.run(context, Write(ask.temperature, ask.prompt), where)
    temperature = ask.temperature or text.temperature
    return await _write(context, where, ask.prompt, [temperature], user_id=user_id, source=text, continues=True)


@Command("again", ask=Again, bare=True, writes=True)
async def again(context: Context, ask: Again, where: Where) -> Reply:
    """Writes another text from the prompt of the last one."""
    user_id, text = await find_text(context, where, ask.slot)
    temperature = ask.temperature or text.temperature
    reply = await _write(context, where, text.prompt, [temperature], user_id=user_id, source=text)
    if ask.temperature in (None, where.chosen.temperature):
        return reply
    return replace(reply, actions=(*reply.actions, buttons.keeping(where, temperature)))


@Command("ladder", options=("prompt",), ask=Ladder, parse=_parse_ladder, writes=True)
async def ladder(context: Context, ask: Ladder, where: Where) -> Reply:
    """Writes the same prompt at each temperature of the ladder."""
    reply = await _write(context, where, ask.prompt, LADDER_TEMPERATURES, voice=ask.voice)
    ignored = "" if ask.ignored is None else where.say("ladder-ignores", temperature=ask.ignored)
    return replace(reply, notice=" ".join(filter(None, (ignored, reply.notice, where.say("ladder-end")))))


async def find_text(context: Context, where: Where, slot: str) -> tuple[int, Conversation]:
    """Returns the user's number and their text in the chat that a button names; the last one where `slot` is empty.

    The number is read first: of a text that is forgotten between the two, nothing comes back. Raises `Refused`.
    """
    user_id = await context.store.user_id(where.platform, where.user)
    texts = await context.store.conversations(where.platform, where.chat, where.user, KEPT_TEXTS if slot else 1)
    text = next((text for text in texts if buttons.names(slot, text)), None)
    if user_id is None or text is None:
        raise Outdated("old-text") if slot else Refused("no-text")
    return user_id, text


async def _write(
    context: Context,
    where: Where,
    typed: str,
    temperatures: Sequence[float],
    *,
    voice: str | None = None,
    length: int | None = None,
    user_id: int | None = None,
    source: Conversation | None = None,
    continues: bool = False,
) -> Reply:
    """Writes one text for each temperature, in one batch, and stores the last as the user's last text.

    The texts share a seed, so that they differ by the temperature alone. `typed`: the prompt. `user_id`: if it is known
    already. `source`: the text that they begin like or, with `continues`, where that ended. The voice that wrote it
    writes them, else the one that `voice` names.
    """
    used = context.voice_of(source.voice if source is not None else voice, where)
    seed = secrets.randbelow(MAX_SEED + 1)
    characters = length or where.chosen.length or context.settings.length
    samplings = [msgspec.structs.replace(context.settings.sampling, temperature=float(value)) for value in temperatures]
    continuation = Continuation(source.state, source.tail) if source is not None and continues else None

    async def generate() -> tuple[Prompt, list[Generation]]:
        """Generates with the weights that serve now. The first text that fails cancels the others."""
        generator = context.voice_of(used.name, where).generator
        prompt = fit_prompt(typed, generator.weights.manifest)
        requests = [
            GenerationRequest(characters, seed, each, prompt.text, continuation, STREAM_AFTER_SECONDS)
            for each in samplings
        ]
        on_sentence = None
        if where.show is not None and len(requests) == 1:
            on_sentence = partial(_show, where.show, used, prompt.text)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(generator.generate(request, on_sentence)) for request in requests]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the group would be logged with it, and the same traceback in it
        return prompt, [task.result() for task in tasks]

    quotas = context.quotas(where)
    await quotas.check(len(samplings), characters * len(samplings))
    fed = characters + min(len(typed), MAX_PROMPT)
    async with context.slot(where, used, OVERSHOOT * len(samplings) * fed, rows=len(samplings)) as waited:
        if user_id is None:  # not before the texts are admitted: a refusal costs the store nothing
            user_id = await _new_user(context, where)
        try:
            prompt, generations = await generate()
        except InvalidRequest:  # other weights were loaded at this moment, with another vocabulary
            prompt, generations = await generate()
    await quotas.count(len(generations), sum(len(each.text) for each in generations))
    for generation in generations:
        context.observer.text_written(used.name, generation, waited)
    last = generations[-1]
    first_prompt, written = prompt.text, ScoringRequest(prompt.text, last.text, seed)
    if source is not None and continues:
        before = f"{source.tail} {prompt.text}" if prompt.text else source.tail
        first_prompt, written = source.prompt, ScoringRequest(before[-TAIL:], last.text)
    tail = (written.before + written.text)[-TAIL:]
    number = source.number if source is not None and where.in_place else 0
    conversation = Conversation(
        first_prompt, temperatures[-1], last.version, last.state, tail, written, number, used.name
    )
    notice = await _save(context, where, user_id, conversation)
    several = len(temperatures) > 1
    labels = [where.say("rung", temperature=temperature) if several else "" for temperature in temperatures]
    return Reply.of_passages(
        *(_passage(used, prompt.text, each.text, label) for each, label in zip(generations, labels, strict=True)),
        notice=" ".join(filter(None, (messages.fitted(prompt, where.say), notice))),
        actions=buttons.under(where, conversation, ladder=several),
        voice=used.name,
    )


async def _new_user(context: Context, where: Where) -> int | None:
    """Returns the user's number, new if they have none yet; `None` where the store fails: they get the text anyway."""
    try:
        async with asyncio.timeout(USER_ID_TIMEOUT_SECONDS):
            return await context.store.ensure_user(where.platform, where.user)
    except (StoreError, TimeoutError) as error:
        reason = str(error) or f"the database takes longer than {USER_ID_TIMEOUT_SECONDS:g} s"
        log.error("user.not_stored reason=%s", reason)
        return None


async def _save(context: Context, where: Where, user_id: int | None, conversation: Conversation) -> str:
    """Stores a text. Returns what the user should know when that fails; they get the text anyway."""
    saved = False
    if user_id is not None:
        try:
            saved = await context.store.save_conversation(where.platform, where.chat, where.user, user_id, conversation)
        except StoreError as error:
            log.error("text.not_stored reason=%s", error)
    return "" if saved else where.say("not-saved")


def _show(show: Callable[[Callable[[], Reply]], None], voice: Voice, prompt: str, written: str) -> None:
    """Shows the text so far, which is rendered only if the platform has room for it."""
    show(lambda: Reply.of_passages(_passage(voice, prompt, written, end=UNFINISHED)))


def _passage(voice: Voice, prompt: str, written: str, label: str = "", end: str = "") -> Passage:
    """Prompt and text, made readable together; the prompt is marked unless it was reflowed with the text."""
    hard_wrapped = voice.manifest.hard_wrapped
    text = presentable(prompt + written, hard_wrapped=hard_wrapped)
    shown = presentable(prompt, hard_wrapped=hard_wrapped)
    return Passage(text + end, shown if text.startswith(shown) else "", label)
