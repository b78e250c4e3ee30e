"""/nietzsche, /continue, /again and /ladder: texts from the network."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from bot.core import buttons, messages
from bot.core.ask import Again, Continue, Ladder, Where, Write
from bot.core.commands.registry import Context, OptionNote, command
from bot.core.events import TextWritten
from bot.core.parsing import Prompt, fit_prompt, no_argument, split_temperature
from bot.core.reply import Passage, Reply
from bot.store.errors import StoreError
from bot.store.store import Conversation
from generator import (
    MAX_PROMPT,
    MAX_SEED,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    Continuation,
    Generation,
    GenerationRequest,
    SamplingParams,
    ScoringRequest,
    Temperature,
)
from generator.prose import presentable

LADDER: Final = tuple(map(Temperature, (0.5, 0.6, 0.7, 0.8, 0.9)))
TAIL: Final = MAX_PROMPT
"""Characters of a text that are stored: new weights read them when the saved state belongs to old ones."""
CHARACTERS_PER_ASKED: Final = 1.15
"""Characters computed for each that is asked for: the prompt is read, and a text ends with its sentence (341 for 300,
measured)."""
USER_ID_TIMEOUT_SECONDS: Final = 2.0
"""How long a text that holds a slot waits for the database to make a new user known. After that it is written and not
stored: a slow database must not fill the slots with texts that nobody writes."""
_PROMPT_NOTE: Final = OptionNote("how the text begins", "abertura", "como o texto começa")
log = logging.getLogger(__name__)


def _parse_write(arguments: str) -> Write:
    temperature, prompt = split_temperature(arguments)
    return Write(temperature, prompt)


@command(
    name="nietzsche",
    usage="/nietzsche [temperature] [prompt]",
    purpose="a text; /nietzsche 0.7 The philosopher",
    portuguese="um texto; /nietzsche 0.7 The philosopher",
    options={
        "temperature": OptionNote(
            f"how daring: {MIN_TEMPERATURE} is careful, {MAX_TEMPERATURE} is wild",
            "temperatura",
            f"a ousadia: {MIN_TEMPERATURE} é prudente, {MAX_TEMPERATURE} é selvagem",
        ),
        "prompt": _PROMPT_NOTE,
        "length": OptionNote(
            "about how many characters; it ends with a sentence near that",
            "tamanho",
            "cerca de quantos caracteres; termina com uma frase por perto",
        ),
    },
    parse=_parse_write,
    asks=(Write,),
    exclusive=True,
)
async def write(context: Context, ask: Write, where: Where) -> Reply:
    """Writes a text at the temperature that was asked for, else the user's own, else the default."""
    prompt = fit_prompt(ask.prompt, context.generator.weights.manifest)
    temperature, user_id = ask.temperature, None
    if temperature is None:
        user_id = await context.store.user_id(
            where.platform, where.user
        )  # before what is stored about them: see `_last`
        own = await context.store.temperature(where.platform, where.user)
        temperature = Temperature(context.settings.sampling.temperature if own is None else own)
    return await _write(context, where, user_id, prompt, [temperature], length=ask.length)


@command(
    name="continue",
    usage="/continue",
    purpose="continues your last text here",
    portuguese="continua o seu último texto aqui",
    parse=no_argument("continue", Continue()),
    asks=(Continue,),
    exclusive=True,
)
async def continue_text(context: Context, ask: Continue, where: Where) -> Reply:
    """Continues the last text from its saved state."""
    found = await _last(context, where)
    if found is None:
        return Reply.refusal(messages.NOTHING_TO_CONTINUE)
    user_id, last = found
    if ask.slot and ask.slot != buttons.fingerprint(last.state):
        return Reply.refusal(messages.OLD_TEXT)
    request = GenerationRequest(
        length=context.settings.length,
        seed=_new_seed(),
        sampling=_sampling(context, last.temperature),
        continuation=Continuation(last.state, last.tail),
    )
    hard_wrapped = context.generator.weights.manifest.hard_wrapped
    _, [generation] = await _generate(context, where, user_id, [request])
    written = ScoringRequest(last.tail, generation.text)
    conversation = _conversation(generation, last.prompt, last.temperature, written)
    notice = await _save(context, where, user_id, conversation)
    actions = buttons.under(where.user, last.prompt, last.temperature, generation.state)
    passage = Passage(presentable(generation.text, hard_wrapped=hard_wrapped))
    return Reply.of_passages(passage, notice=notice, actions=actions)


@command(
    name="again",
    usage="/again",
    purpose="the same prompt and temperature, another draw",
    portuguese="a mesma abertura e temperatura, outro sorteio",
    parse=no_argument("again", Again()),
    asks=(Again,),
    exclusive=True,
)
async def again(context: Context, ask: Again, where: Where) -> Reply:
    """Writes another text from the prompt of the last one."""
    found = await _last(context, where)
    if found is None:
        return Reply.refusal(messages.NOTHING_TO_REPEAT)
    user_id, last = found
    if ask.slot and ask.slot != buttons.fingerprint(last.prompt):
        return Reply.refusal(messages.OLD_TEXT)
    prompt = fit_prompt(last.prompt, context.generator.weights.manifest)
    temperature = Temperature(last.temperature) if ask.temperature is None else ask.temperature
    return await _write(context, where, user_id, prompt, [temperature])


@command(
    name="ladder",
    usage="/ladder [prompt]",
    purpose="the same prompt at five temperatures",
    portuguese="a mesma abertura em cinco temperaturas",
    options={"prompt": _PROMPT_NOTE},
    parse=Ladder,
    asks=(Ladder,),
    exclusive=True,
)
async def ladder(context: Context, ask: Ladder, where: Where) -> Reply:
    """Writes the same prompt at each temperature of `LADDER`."""
    prompt = fit_prompt(ask.prompt, context.generator.weights.manifest)
    reply = await _write(context, where, None, prompt, LADDER)
    return replace(reply, notice=_joined(reply.notice, messages.LADDER_END))


async def _last(context: Context, where: Where) -> tuple[int, Conversation] | None:
    """The user's number and their last text in the chat, or `None` when there is none.

    The number is read first: of a text that is forgotten between the two, nothing comes back.
    """
    user_id = await context.store.user_id(where.platform, where.user)
    last = await context.store.conversation(where.platform, where.chat, where.user)
    return None if user_id is None or last is None else (user_id, last)


async def _write(
    context: Context,
    where: Where,
    user_id: int | None,
    prompt: Prompt,
    temperatures: Sequence[Temperature],
    *,
    length: int | None = None,
) -> Reply:
    """Writes one text for each temperature, in one batch; the last is stored as the user's last text.

    They share a seed, so that they differ by the temperature alone. `user_id`: if it is known already.
    """
    hard_wrapped = context.generator.weights.manifest.hard_wrapped
    seed = _new_seed()
    requests = [
        GenerationRequest(
            context.settings.length if length is None else length, seed, _sampling(context, temperature), prompt.text
        )
        for temperature in temperatures
    ]
    user_id, generations = await _generate(context, where, user_id, requests)
    last = generations[-1]
    written = ScoringRequest(prompt.text, last.text, seed)
    notice = await _save(context, where, user_id, _conversation(last, prompt.text, temperatures[-1], written))
    passages = [_passage(prompt.text, generation.text, hard_wrapped=hard_wrapped) for generation in generations]
    actions = buttons.under(where.user, prompt.text, temperatures[-1], last.state)
    if len(passages) > 1:
        actions = (buttons.continuing(where.user, last.state),)
        labels = map(messages.rung, temperatures)
        passages = [replace(passage, label=label) for passage, label in zip(passages, labels, strict=True)]
    return Reply.of_passages(*passages, notice=_joined(messages.fitted(prompt), notice), actions=actions)


async def _generate(
    context: Context, where: Where, user_id: int | None, requests: Sequence[GenerationRequest]
) -> tuple[int | None, list[Generation]]:
    """Waits for a slot and computes all texts together. Returns the user's number too.

    A user who has none yet is given one once the texts are admitted, so that a refusal costs the store nothing. The
    first text that fails cancels the others, and its error is raised.
    """
    began = time.perf_counter()
    async with context.admission.text(
        where.queue_key,
        f"{where.platform}:{where.user}",
        trusted=context.is_operator(where),
        asked=where.asked_at,
    ):
        waited = time.perf_counter() - began
        if user_id is None:
            user_id = await _make_known(context, where)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(context.generator.generate(request)) for request in requests]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
    generations = [task.result() for task in tasks]
    for generation in generations:
        context.on_event(TextWritten(generation, waited))
    return user_id, generations


async def _make_known(context: Context, where: Where) -> int | None:
    """The user's number from now on; `None` when the store fails: the text is written without it."""
    try:
        async with asyncio.timeout(USER_ID_TIMEOUT_SECONDS):
            return await context.store.ensure_user(where.platform, where.user)
    except StoreError as error:
        log.error("user.not_stored reason=%s", error)
    except TimeoutError:
        log.error("user.not_stored reason=the database takes longer than %g s", USER_ID_TIMEOUT_SECONDS)
    return None


async def _save(context: Context, where: Where, user_id: int | None, conversation: Conversation) -> str:
    """Stores the text and its state. Returns what the user should know when that fails; they get the text anyway."""
    if user_id is None:
        return messages.NOT_SAVED
    try:
        kept = await context.store.save_conversation(where.platform, where.chat, where.user, user_id, conversation)
    except StoreError as error:
        log.error("text.not_stored reason=%s", error)
        return messages.NOT_SAVED
    return "" if kept else messages.FORGOTTEN_MEANWHILE


def _sampling(context: Context, temperature: float) -> SamplingParams:
    return msgspec.structs.replace(context.settings.sampling, temperature=float(temperature))


def _conversation(generation: Generation, prompt: str, temperature: float, written: ScoringRequest) -> Conversation:
    tail = (written.before + written.text)[-TAIL:]
    return Conversation(prompt, temperature, generation.version, generation.state, tail, written)


def _passage(prompt: str, written: str, *, hard_wrapped: bool) -> Passage:
    """Prompt and text, made readable together; the prompt is marked unless it was reflowed with the text."""
    text = presentable(prompt + written, hard_wrapped=hard_wrapped)
    shown = presentable(prompt, hard_wrapped=hard_wrapped)
    return Passage(text, shown if text.startswith(shown) else "")


def _new_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


def _joined(*notices: str) -> str:
    return " ".join(notice for notice in notices if notice)
