"""Every sentence that users read in a chat, and the one map from errors to replies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from bot.core.admission import CooldownActive, TooManyRequests
from bot.core.parsing import Prompt, TemperatureError
from bot.core.reply import ECHO, Refused
from bot.store.errors import StoreError
from generator import GeneratorStatus, InvalidRequest, ModelError, Overloaded, ShuttingDown, Unavailable, WeightsError
from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE
from generator.types import MAX_PROMPT, Surprisal
from generator.weights.manifest import Manifest

_MAX_ECHO: Final = 24
"""Characters of what was typed that a reply repeats."""
_MAX_LISTED: Final = 8
"""Odd characters of a prompt that a notice lists."""
NO_ARGUMENT: Final = "/{} takes nothing behind it. For another prompt or temperature, type /nietzsche."
NO_TEXT: Final = "You have no text here yet. Begin one with /nietzsche."
OLD_TEXT: Final = "I keep only your last text here, and this is an older one. Begin a new one with /nietzsche."
NOT_YOUR_TEXT: Final = "That text was written for someone else. Ask for your own with /nietzsche."
NO_SUCH_BUTTON: Final = "That button does nothing any more. Begin a new text with /nietzsche."
NOT_SAVED: Final = "I could not keep this text, so /continue and /again do not know it."
RUNG: Final = "Temperature {:g}"
LADDER_IGNORES: Final = "A ladder has temperatures of its own, so I left out the {:g}."
LADDER_END: Final = "/continue continues the last of these."
CONFIRM_FORGET: Final = (
    "This deletes everything I keep about you: your temperature and your last texts. It cannot be undone."
)
REPEAT_FORGET: Final = "To do it, type /forgetme again."
NOTHING_KEPT: Final = "I kept nothing about you."
PICTURE: Final = "The training curve is a picture: {}"
QUEUE_FULL: Final = "You have asked for too much at once, so I leave this out. Ask again when the rest is answered."
CHAT_FULL: Final = "Telegram does not let me say that much in one chat. Ask again in a minute."
OVERLOADED: Final = "Too many people want something just now. Ask again in a few seconds."
RESTARTING: Final = "I am being restarted. Try again in a minute."
UNCONFIRMED: Final = "My last message may not have reached you. If it is not here, ask again."
UNEXPECTED: Final = "Something broke on my side. The people who run me can see it in the log. Please try again."
WHOLE_TEXT_IN_FILE: Final = "The rest does not fit here. The file below has all of it."
INLINE_TITLE: Final = "Write a text"
INLINE_HINT: Final = "0.7 and a prompt, or nothing at all"
INLINE_PLACEHOLDER: Final = "Writing …"
INLINE_WAIT: Final = "The text takes this message’s place as soon as it is written."
CANCELLED: Final = "Stopped."
WORDS_ONLY: Final = "I can only read words: send me how a text should begin, or /help."
HOW_TO_LEAVE: Final = "Ctrl-D leaves; /help lists the commands."
SCALE: Final = "bits per character: "


def greeting(manifest: Manifest) -> str:
    """For /start."""
    return (
        f"I write in the manner of {manifest.corpus.name}, one character after another. Try /nietzsche 0.7 — the number"
        f" is the temperature, from {MIN_TEMPERATURE} (careful) to {MAX_TEMPERATURE} (wild). /help lists the rest."
    )


def welcome(manifest: Manifest) -> str:
    """For a chat that the bot is added to."""
    return (
        f"Hello! I write in the manner of {manifest.corpus.name}. Type /nietzsche, or mention me and how a text should"
        " begin; reply to a text of yours, and I write on from there. /help lists the rest."
    )


def summary(manifest: Manifest) -> str:
    """What the bot is, in one line."""
    bits = manifest.metrics["valid_bits_per_character"]
    return f"weights {manifest.version} · {bits:.2f} bits per character · trained on {manifest.corpus.name}"


def about(manifest: Manifest) -> str:
    """For /about."""
    corpus, metrics, training = manifest.corpus, manifest.metrics, manifest.training
    texts, start = ", ".join(map(str, training.get("pretrain") or ())), training.get("start_from")
    return (
        f"I write in the manner of {corpus.name}: a recurrent network that learnt from its {corpus.characters:,}"
        f" characters, and draws mine one by one.\n"
        + (f"Before that it read other texts: {texts}.\n" if texts else "")
        + (f"It started from the weights {start}.\n" if start else "")
        + f"Weights: {manifest.version} ({manifest.preset}, {manifest.parameters:,} parameters).\n"
        f"Text that I never saw surprises me by {metrics['valid_bits_per_character']:.3f} bits per character"
        f" (validation; test: {metrics['test_bits_per_character']:.3f}). Less is better; guessing blindly costs"
        f" {math.log2(len(manifest.vocabulary)):.1f}.\n"
        f"The text that I learnt from: {manifest.license}"
    )


def curve(manifest: Manifest) -> str:
    """The training curve, for those who cannot see it."""
    return (
        f"Training curve of {manifest.version}: bits per character of training and validation, epoch by epoch. The"
        f" epoch that was kept reaches {manifest.metrics['valid_bits_per_character']:.3f} on text that it never saw."
    )


def your_temperature(own: float | None, default: float) -> str:
    """For /temperature."""
    if own is None:
        return f"You have no temperature of your own, so I use {default:g}. Set one: /temperature 0.8"
    return f"Your temperature is {own:g}. /temperature default goes back to {default:g}."


def suggestions(own: float | None, default: float) -> dict[float, str]:
    """Temperatures to offer while a user types one, each with its label, their own first."""
    offered = {} if own is None else {own: "your own"}
    for value, word in (
        (default, "default"),
        (0.3, "careful, repeats itself"),
        (0.5, "calm"),
        (0.7, "balanced"),
        (0.9, "lively"),
        (1.2, "wild, invents words"),
    ):
        offered.setdefault(value, word)
    return {value: f"{value:g} — {word}" for value, word in offered.items()}


def forgotten(rows: int) -> str:
    """For /forgetme."""
    return f"Gone: {rows} {'row' if rows == 1 else 'rows'}, everything I kept about you." if rows else NOTHING_KEPT


def reloaded(before: str, now: str) -> str:
    """For /reload; the two versions."""
    same = f"{now} serves already; CURRENT names no other."
    return same if before == now else f"{now} serves now, in place of {before}."


def statistics(figures: GeneratorStatus, version: str, waiting: int, refused: int) -> str:
    """For /stats. `waiting`, `refused`: texts that did not reach the generator."""
    return (
        f"weights: {version}\n"
        f"texts: {figures.texts:,} written, {figures.refused + refused:,} refused, {figures.failed:,} failed\n"
        f"now: {figures.running:,} being written, {figures.queued + waiting:,} waiting\n"
        f"characters: {figures.characters:,}"
        + (f", at {figures.characters_per_second:,.0f} per second" if figures.speed_measured else "")
    )


def unknown(command: str, nearest: str | None) -> str:
    """When a command does not exist, or not for this user."""
    hint = f"Did you mean /{nearest}?" if nearest else "/help lists what I know."
    return f"I know no command /{echo(command)}. {hint}"


def surprised(surprise: Surprisal, written_by: str) -> str:
    """Below the picture of /surprise; `written_by`: the version that wrote the text."""
    words = ", ".join(f"“{echo(word)}” ({bits:.0f} bits)" for word, bits in surprise.words(3))
    parts = [f"Your last text surprises me by {surprise.mean:.2f} bits per character."]
    if words:
        parts.append(f"Least expected: {words}.")
    if written_by != surprise.version:
        parts.append(f"{written_by} wrote it; the surprise is that of {surprise.version}, which serves now.")
    return " ".join(parts)


def shading(surprise: Surprisal) -> str:
    """The picture of /surprise, for those who cannot see it."""
    return (
        f"A text of {len(surprise.text):,} characters, each on a ground that is the darker the less it was expected,"
        f" from 0 bits (certain) to 6 (one chance in 64) and more; {surprise.mean:.2f} on average. The first letters of"
        " words are the darkest as a rule."
    )


def fitted(prompt: Prompt) -> str:
    """What became of a prompt that the network cannot read as it was typed; empty when it can."""
    notices = [f"That prompt is long, so I read its last {MAX_PROMPT:,} characters."] if prompt.shortened else []
    changes = [f"left out {_listed([visible(typed) for typed in prompt.dropped])}"] if prompt.dropped else []
    if prompt.replaced:
        changes.append(f"wrote {_listed([f'{plain} for {visible(typed)}' for typed, plain in prompt.replaced])}")
    if changes:
        end = "my network never saw them" if prompt.text else "nothing was left of the prompt, so I began on my own"
        notices.append(f"I {' and '.join(changes)}: {end}.")
    return " ".join(notices)


def _listed(items: Sequence[str]) -> str:
    more = len(items) - _MAX_LISTED
    return ", ".join(items[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def visible(character: str) -> str:
    """The character, or its code point when it cannot be seen or would change what stands around it."""
    return character if character.isprintable() and not character.isspace() else f"U+{ord(character):04X}"


def echo(typed: str) -> str:
    """What a user typed, for a sentence: short, on one line, marked so that each platform can escape it."""
    text = printable(typed)
    return ECHO.format(text if len(text) <= _MAX_ECHO else text[: _MAX_ECHO - 1].rstrip() + "…")


def printable(typed: str) -> str:
    """What someone typed on one line, without what cannot be seen, turns the writing round, or cannot be sent."""
    return "".join(character if character.isprintable() else " " for character in typed)


_REFUSALS: Final[dict[type[Exception], Callable[[Any], str]]] = {
    Refused: str,
    TemperatureError: lambda error: (
        f"{echo(error.typed)} is no temperature of mine: they are numbers from {MIN_TEMPERATURE} (careful) to"
        f" {MAX_TEMPERATURE} (wild). Type /temperature 0.7, or /temperature default; a text that begins with it is"
        f" /nietzsche 0.7 {echo(error.typed)} …"
    ),
    InvalidRequest: lambda error: f"I cannot write that: {error}. Try /nietzsche 0.7.",
    TooManyRequests: lambda _: QUEUE_FULL,
    Overloaded: lambda error: f"Too many people want a text just now. Try again in {seconds(error.retry_after)}.",
    CooldownActive: lambda error: f"Give me a moment: you can have your next text in {seconds(error.retry_after)}.",
}
_FAILURES: Final[dict[type[Exception], Callable[[Any], str]]] = {
    ShuttingDown: lambda _: RESTARTING,
    ModelError: lambda _: "That text went wrong while I wrote it. Try again.",
    Unavailable: lambda _: "The machines that write for me cannot be reached just now. Try again in a minute.",
    WeightsError: lambda error: f"The weights stay as they were: {error}",
    StoreError: lambda _: "I cannot reach my memory just now, and I need it for that. Try again in a minute.",
}
EXPECTED: Final = tuple(_REFUSALS)
"""Errors that are no failure: the user gets a reply, and nothing is logged."""


def explain(error: Exception) -> str:
    """Returns what a user reads about an error, with what to do instead."""
    known = _REFUSALS | _FAILURES
    return next((known[kind](error) for kind in type(error).__mro__ if kind in known), UNEXPECTED)


def seconds(duration: float) -> str:
    """A waiting time in words, at least a second."""
    whole = max(1, math.ceil(duration))
    return "a second" if whole == 1 else f"{whole} seconds"
