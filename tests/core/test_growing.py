"""The text so far, which the commands give to a platform that shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from voice_support import voices_of

from bot.config.schema import BotSection
from bot.core.ask import Ladder, Where, Write
from bot.core.commands import Commands, writing
from bot.core.reply import Reply
from bot.store.store import Store
from generator.serving.generator import ThreadedGenerator


@pytest.mark.usefixtures("one_seed")
async def test_parts_of_a_text_end_with_its_sentences_and_change_nothing(
    weights_folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "STREAM_AFTER_SECONDS", 0.0)
    parts: list[Callable[[], Reply]] = []
    async with ThreadedGenerator.open(weights_folder) as generator:
        commands = Commands(voices_of(generator), store, BotSection(length=900, cooldown=0.0))
        ask = Write(temperature=None, prompt="The philosopher")
        grown = await commands.handle(ask, Where("telegram", "here", "ada", show=parts.append))
        whole = await commands.handle(ask, Where("telegram", "here", "bob"))
    assert grown.text == whole.text
    assert len(parts) > 1
    for part in parts:
        reply = part()
        assert reply.actions == ()
        assert reply.passages[0].prompt == "The philosopher"
        beginning = reply.text.removesuffix(" …")
        assert whole.text.startswith(beginning)
        assert beginning[-1] in ".!?\"'"
        assert beginning != whole.text


async def test_several_texts_at_once_are_shown_when_they_are_whole(commands: Commands) -> None:
    parts: list[Callable[[], Reply]] = []
    reply = await commands.handle(Ladder("The"), Where("telegram", "here", "ada", show=parts.append))
    assert reply.text
    assert not parts
