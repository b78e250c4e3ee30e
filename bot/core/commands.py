"""What each command means, once, for every platform: an `Invocation` goes in, a `Reply` comes out."""

from __future__ import annotations

import asyncio
import difflib
import functools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bot.config.schema import BotSection
from bot.core import buttons, messages
from bot.core.admission import Admission
from bot.core.parsing import parse_temperature, split_temperature
from bot.core.prompt import Prompt, fit_prompt
from bot.core.reply import Cause, Invocation, Passage, Picture, Press, Reply, Suggestion
from bot.core.turns import Turns
from bot.store.errors import StoreError
from bot.store.store import Conversation, Store
from generator import (
    MAX_PROMPT,
    MAX_SEED,
    Continuation,
    Generation,
    GenerationRequest,
    Generator,
    SamplingParams,
    ScoringRequest,
    ShuttingDown,
    Surprisal,
    Unavailable,
    WeightsError,
)
from generator.scoring.palette import cells
from generator.serving.prose import presentable
from generator.serving.scheduler import MAX_ROWS

LADDER: Final = (0.5, 0.6, 0.7, 0.8, 0.9)
TAIL: Final = MAX_PROMPT
"""Characters of a text that are kept: what new weights are primed with when the state is of old ones."""
_KNOWN_SECONDS: Final = 2.0
"""How long a text that has its place waits for the database, when its person is new there. Then it is written all the
same, and not kept: a database that is held up must not fill the places with texts that are not being written."""
_FED: Final = 1.15
"""Characters that a text takes for each that is asked for: its beginning is read, and it goes on to the end of a
sentence (341 for 300, measured)."""
_CURVE: Final = "curve.png"
_SHADED: Final = "surprise.png"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Command:
    """`run` makes the reply. `in_turn`: it reads or changes what is known of the person, so it takes their turn."""

    run: Callable[[Invocation], Awaitable[Reply]]
    in_turn: bool = False


class Commands:
    """The commands, with what they work on. `settings` holds what applies when nobody says otherwise."""

    def __init__(self, generator: Generator, store: Store, settings: BotSection) -> None:
        self._generator = generator
        self._store = store
        self._settings = settings
        self._turns = Turns()
        self._admission = Admission(MAX_ROWS, settings.queue, settings.rest, self._patience)
        self._handling = 0
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._commands = {
            "nietzsche": _Command(self._nietzsche, in_turn=True),
            "continue": _Command(self._continue, in_turn=True),
            "again": _Command(self._again, in_turn=True),
            "temperature": _Command(self._temperature, in_turn=True),
            "ladder": _Command(self._ladder, in_turn=True),
            "surprise": _Command(self._surprise, in_turn=True),
            "about": _Command(self._about),
            "forgetme": _Command(self._forgetme, in_turn=True),
            "help": _Command(self._help),
            "start": _Command(self._start),
        }
        self._operator_commands = {"reload": _Command(self._reload), "stats": _Command(self._stats)}

    @property
    def waiting(self) -> int:
        """Texts that wait for their chat's turn."""
        return self._admission.queued

    def summary(self) -> str:
        """What the bot is at this moment, in one line."""
        return messages.summary(self._generator.weights.manifest)

    def known_to(self, platform: str, person: str) -> dict[str, messages.CommandNote]:
        """The commands that exist for this person, by name."""
        return messages.COMMANDS | (messages.OPERATOR_COMMANDS if self._operates(platform, person) else {})

    def close(self) -> None:
        """From now on everything is answered with the news that the bot restarts; what is being done goes on."""
        self._closing = True

    async def finished(self) -> None:
        """Returns when nothing is being done any more."""
        await self._idle.wait()

    async def handle(self, invocation: Invocation) -> Reply:
        """Does what was asked. Every error becomes a reply here; only cancellation passes through."""
        known = self.known_to(invocation.platform, invocation.person)
        if invocation.command not in known:
            nearest = difflib.get_close_matches(invocation.command, known, n=1, cutoff=0.6)
            return Reply.refusal(messages.unknown(invocation.command, nearest[0] if nearest else None))
        command = (self._commands | self._operator_commands)[invocation.command]
        return await self._answer(invocation, command)

    async def press(self, press: Press) -> Reply:
        """Does what a button under a text says, for the person whose text it is."""
        button = buttons.read(press.data)
        if button is None:
            return Reply.refusal(messages.NO_SUCH_BUTTON)
        if button.person != press.person:
            return Reply.refusal(messages.NOT_YOUR_TEXT)
        if button.temperature is None:
            invocation = Invocation(press.platform, press.chat, press.person, "continue", asked=press.asked)
            return await self._answer(invocation, _Command(lambda i: self._continue(i, button.key), in_turn=True))
        invocation = Invocation(press.platform, press.chat, press.person, "again", asked=press.asked)
        run = functools.partial(self._draw_again, temperature=button.temperature, key=button.key)
        return await self._answer(invocation, _Command(run, in_turn=True))

    async def suggest(self, platform: str, person: str) -> list[Suggestion]:
        """Temperatures to offer: the person's own, the default, and a few with a word on what they do."""
        try:
            own = await self._store.temperature(platform, person)
        except StoreError as error:
            log.error("suggestions: %s", error)
            own = None
        return messages.suggestions(own, self._settings.temperature)

    async def _answer(self, invocation: Invocation, command: _Command) -> Reply:
        if self._closing:
            return Reply.refusal(messages.RESTARTING, Cause.RESTARTING)
        self._handling += 1
        self._idle.clear()
        try:
            return await self._attempt(invocation, command)
        finally:
            self._handling -= 1
            if not self._handling:
                self._idle.set()

    async def _attempt(self, invocation: Invocation, command: _Command) -> Reply:
        try:
            if not command.in_turn:
                return await command.run(invocation)
            async with self._turns.of((invocation.platform, invocation.person)):
                return await command.run(invocation)
        except messages.EXPECTED as error:
            return Reply.refusal(messages.explain(error))
        except ShuttingDown as error:
            return Reply.refusal(messages.explain(error), Cause.RESTARTING)
        except (StoreError, Unavailable, WeightsError) as error:
            log.error("/%s: %s", invocation.command, error)
            return Reply.refusal(messages.explain(error), Cause.FAILED)
        except Exception as error:  # a defect, or the network's: written down whole, and nobody else is disturbed
            log.exception("/%s failed", invocation.command)
            return Reply.refusal(messages.explain(error), Cause.FAILED)

    def _operates(self, platform: str, person: str) -> bool:
        return f"{platform}:{person}" in self._settings.operators

    async def _nietzsche(self, invocation: Invocation) -> Reply:
        platform, person = invocation.platform, invocation.person
        temperature, typed = split_temperature(invocation.arguments)
        if invocation.prompt is not None:
            typed = invocation.prompt
        prompt = fit_prompt(typed, self._generator.weights.manifest)
        number = None
        if temperature is None:
            number = await self._store.number(platform, person)  # before what is known of them, as in `_last`
            own = await self._store.temperature(platform, person)
            temperature = self._settings.temperature if own is None else own
        return await self._write(invocation, number, prompt, [temperature])

    async def _ladder(self, invocation: Invocation) -> Reply:
        prompt = fit_prompt(invocation.arguments, self._generator.weights.manifest)
        reply = await self._write(invocation, None, prompt, LADDER)
        return replace(reply, notice=_joined(reply.notice, messages.LADDER_END))

    async def _again(self, invocation: Invocation) -> Reply:
        if invocation.arguments:
            return Reply.refusal(messages.AGAIN_TAKES_NOTHING)
        return await self._draw_again(invocation)

    async def _draw_again(self, invocation: Invocation, temperature: float | None = None, key: str = "") -> Reply:
        """Another draw at `temperature`, by default the last one's; a `key` is the fingerprint that its prompt has."""
        found = await self._last(invocation)
        if found is None:
            return Reply.refusal(messages.NOTHING_TO_REPEAT)
        number, last = found
        if key and key != buttons.fingerprint(last.prompt):
            return Reply.refusal(messages.OLD_TEXT)
        prompt = fit_prompt(last.prompt, self._generator.weights.manifest)
        temperatures = [last.temperature if temperature is None else temperature]
        return await self._write(invocation, number, prompt, temperatures)

    async def _continue(self, invocation: Invocation, key: str = "") -> Reply:
        """Goes on from the last text; a `key` is the fingerprint that its state has."""
        found = await self._last(invocation)
        if found is None:
            return Reply.refusal(messages.NOTHING_TO_CONTINUE)
        number, last = found
        if key and key != buttons.fingerprint(last.state):
            return Reply.refusal(messages.OLD_TEXT)
        if invocation.arguments:
            return Reply.refusal(messages.continue_takes_nothing(last.temperature))
        manifest = self._generator.weights.manifest
        request = GenerationRequest(
            length=invocation.length or self._settings.length,
            seed=_new_seed(),
            sampling=self._sampling(last.temperature),
            continuation=Continuation(last.state, last.tail),
        )
        _, [generation] = await self._generate_all(invocation, number, [request])
        written = ScoringRequest(last.tail, generation.text)
        conversation = _conversation(generation, last.prompt, last.temperature, written)
        notice = await self._keep(invocation, number, conversation)
        passage = Passage(presentable(generation.text, hard_wrapped=manifest.hard_wrapped))
        actions = buttons.under(invocation.person, last.prompt, last.temperature, generation.state)
        return Reply.of_passages(passage, notice=notice, actions=actions)

    async def _surprise(self, invocation: Invocation) -> Reply:
        """The last text, shaded by the probabilities that the weights which serve now give its characters."""
        platform, person = invocation.platform, invocation.person
        if invocation.arguments:
            return Reply.refusal(messages.SURPRISE_TAKES_NOTHING)
        last = await self._store.conversation(platform, invocation.chat, person)
        if last is None or last.written is None:
            return Reply.refusal(messages.NOTHING_TO_SHADE)
        # It is work like a text, and waits like one; but whoever just got a text may ask for its picture at once, so
        # pictures have a rest of their own.
        admitted = self._admission.text(
            f"{platform}:{invocation.chat}",
            f"{platform}:{person} /surprise",
            trusted=self._operates(platform, person),
            asked=invocation.asked,
        )
        async with admitted:
            hard_wrapped = self._generator.weights.manifest.hard_wrapped
            surprise = await self._generator.score(last.written)
            if last.written.seed is not None:
                surprise = replace(surprise, given=last.prompt)
            content = await asyncio.to_thread(_shaded, surprise, hard_wrapped=hard_wrapped)
        return Reply.answer(
            messages.surprised(surprise, last.version),
            picture=Picture(content, _SHADED, messages.shading(surprise)),
            shaded=tuple(cells(surprise, hard_wrapped=hard_wrapped)),
        )

    async def _temperature(self, invocation: Invocation) -> Reply:
        typed, default = invocation.arguments, self._settings.temperature
        platform, person = invocation.platform, invocation.person
        if not typed:
            own = await self._store.temperature(platform, person)
            return Reply.answer(messages.your_temperature(own, default), private=True)
        if typed.lower() == "default":
            await self._store.set_temperature(platform, person, None)
            return Reply.answer(messages.temperature_cleared(default), private=True)
        value = parse_temperature(typed)
        await self._store.set_temperature(platform, person, value)
        return Reply.answer(messages.temperature_set(value), private=True)

    async def _about(self, _: Invocation) -> Reply:
        weights = self._generator.weights
        picture = None
        try:
            content = await asyncio.to_thread(weights.beside, _CURVE)
        except WeightsError as error:
            log.warning("/about: %s", error)
        else:
            if content is not None:  # a version need not have one
                picture = Picture(content, _CURVE, messages.curve(weights.manifest), weights.folder / _CURVE)
        return Reply.answer(messages.about(weights.manifest), picture=picture)

    async def _forgetme(self, invocation: Invocation) -> Reply:
        rows = await self._store.forget(invocation.platform, invocation.person)
        return Reply.answer(messages.forgotten(rows), private=True)

    async def _help(self, invocation: Invocation) -> Reply:
        operator = self._operates(invocation.platform, invocation.person)
        return Reply.answer(messages.manual(operator=operator), private=True)

    async def _start(self, _: Invocation) -> Reply:
        return Reply.answer(messages.greeting(self._generator.weights.manifest))

    async def _reload(self, _: Invocation) -> Reply:
        return Reply.answer(await self.take_up_weights(), private=True)

    async def take_up_weights(self) -> str:
        """Takes up the weights that CURRENT names; returns what is said about it. Raises `WeightsError`."""
        before = self._generator.weights.manifest.version
        weights = await self._generator.reload()
        return messages.reloaded(before, weights.manifest.version)

    async def _stats(self, _: Invocation) -> Reply:
        version = self._generator.weights.manifest.version
        return Reply.answer(messages.statistics(self._generator.statistics(), version), private=True)

    async def _last(self, invocation: Invocation) -> tuple[int, Conversation] | None:
        """The person's number and their last text in the chat, or `None` when there is none.

        The number is read first: of a text that is forgotten between the two, nothing comes back.
        """
        platform, person = invocation.platform, invocation.person
        number = await self._store.number(platform, person)
        last = await self._store.conversation(platform, invocation.chat, person)
        return None if number is None or last is None else (number, last)

    async def _write(
        self, invocation: Invocation, number: int | None, prompt: Prompt, temperatures: Sequence[float]
    ) -> Reply:
        """Texts from one prompt, one for each temperature, all at once; the last is kept as the person's last text.

        They share a seed, so that what differs between them is the temperature's doing. `number` is the person's, if it
        has been asked for.
        """
        manifest = self._generator.weights.manifest
        seed = _new_seed()
        length = invocation.length or self._settings.length
        requests = [
            GenerationRequest(length, seed, self._sampling(temperature), prompt.text) for temperature in temperatures
        ]
        number, generations = await self._generate_all(invocation, number, requests)
        written = ScoringRequest(prompt.text, generations[-1].text, seed)
        conversation = _conversation(generations[-1], prompt.text, temperatures[-1], written)
        notice = await self._keep(invocation, number, conversation)
        passages = [
            _passage(prompt.text, generation.text, hard_wrapped=manifest.hard_wrapped) for generation in generations
        ]
        actions = buttons.under(invocation.person, prompt.text, temperatures[-1], generations[-1].state)
        if len(passages) > 1:
            actions = (buttons.continuing(invocation.person, generations[-1].state),)
            labels = map(messages.rung, temperatures)
            passages = [replace(passage, label=label) for passage, label in zip(passages, labels, strict=True)]
        return Reply.of_passages(*passages, notice=_joined(messages.fitted(prompt), notice), actions=actions)

    async def _generate_all(
        self, invocation: Invocation, number: int | None, requests: Iterable[GenerationRequest]
    ) -> tuple[int | None, list[Generation]]:
        """All texts, computed together once it is the chat's turn, and the number of the person that they belong to.

        Who has no `number` yet is given one before the first character is written, and not before the texts are let in:
        a refusal costs the store nothing. The first text that fails stops the others, and its error is raised.
        """
        platform, person = invocation.platform, invocation.person
        trusted = self._operates(platform, person)
        asked = time.perf_counter()
        chat = f"{platform}:{invocation.chat}"
        async with self._admission.text(chat, f"{platform}:{person}", trusted=trusted, asked=invocation.asked):
            waited = time.perf_counter() - asked
            if number is None:
                number = await self._known(invocation)
            generations = await self._together(requests)
        for generation in generations:
            self.written(generation, waited)
        return number, generations

    async def moved(self, platform: str, old: str, new: str) -> None:
        """A chat goes under another name from now on, and what is kept for it with it."""
        try:
            await self._store.move_chat(platform, old, new)
        except StoreError as error:
            log.error("%s: a chat that has another name now is not known under it: %s", platform, error)
        else:
            log.info("%s: a chat goes under another name now", platform)

    def undelivered(self, platform: str) -> None:
        """An answer could not be sent, through no fault of whoever asked. For whoever counts."""

    def written(self, generation: Generation, waited: float) -> None:
        """A text is done, having waited so many seconds before the generator was asked. For whoever counts."""

    async def _together(self, requests: Iterable[GenerationRequest]) -> list[Generation]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._generator.generate(request)) for request in requests]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return [task.result() for task in tasks]

    async def _known(self, invocation: Invocation) -> int | None:
        """The person's number from now on, for a text that can be written without it; `None` when the store fails."""
        try:
            async with asyncio.timeout(_KNOWN_SECONDS):
                return await self._store.make_known(invocation.platform, invocation.person)
        except StoreError as error:
            log.error("/%s: %s", invocation.command, error)
        except TimeoutError:
            log.error("/%s: the database takes longer than %g s", invocation.command, _KNOWN_SECONDS)
        return None

    async def _keep(self, invocation: Invocation, number: int | None, conversation: Conversation) -> str:
        """Saves the text and where it stopped, for the person with the number.

        Returns what they should know when that does not work: the text is theirs all the same.
        """
        if number is None:
            return messages.NOT_SAVED
        platform, chat, person = invocation.platform, invocation.chat, invocation.person
        try:
            kept = await self._store.save_conversation(platform, chat, person, number, conversation)
        except StoreError as error:
            log.error("/%s: %s", invocation.command, error)
            return messages.NOT_SAVED
        return "" if kept else messages.FORGOTTEN_MEANWHILE

    def _patience(self, texts: int) -> float:
        """Seconds in which so many texts are written, at the speed of the last ones."""
        return texts * self._settings.length * _FED / self._generator.statistics().characters_per_second

    def _sampling(self, temperature: float) -> SamplingParams:
        return SamplingParams(temperature, self._settings.top_p, self._settings.min_p)


def _conversation(generation: Generation, prompt: str, temperature: float, written: ScoringRequest) -> Conversation:
    tail = (written.before + written.text)[-TAIL:]
    return Conversation(prompt, temperature, generation.version, generation.state, tail, written)


def _passage(prompt: str, written: str, *, hard_wrapped: bool) -> Passage:
    """Prompt and text, made readable together; the prompt stays recognisable where it was not reflowed with it."""
    text = presentable(prompt + written, hard_wrapped=hard_wrapped)
    shown = presentable(prompt, hard_wrapped=hard_wrapped)
    return Passage(text, shown if text.startswith(shown) else "")


def _shaded(surprise: Surprisal, *, hard_wrapped: bool) -> bytes:
    """The picture of a text, a PNG file. Takes a tenth of a second, so not for the event loop's thread."""
    from generator.scoring import heatmap  # noqa: PLC0415 - Pillow, for this alone: 4 MB that most processes never need

    return heatmap.png(heatmap.draw([("", surprise)], hard_wrapped=hard_wrapped))


def _new_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


def _joined(*notices: str) -> str:
    return " ".join(notice for notice in notices if notice)
