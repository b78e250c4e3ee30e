"""Texts from the generator for one user: a slot, the texts of one batch, and what is stored of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from bot.core import messages
from bot.core.ask import Where
from bot.core.commands.command import OVERSHOOT, Context
from bot.store.errors import StoreError
from bot.store.store import Conversation
from generator import MAX_PROMPT, Generation, GenerationRequest, InvalidRequest, ScoringRequest

TAIL: Final = MAX_PROMPT
"""Characters of a text that are stored: new weights read them when the saved state belongs to old ones."""
USER_ID_TIMEOUT_SECONDS: Final = 2.0
"""How long a text that holds a slot waits for the database to make a new user known. After that it is written and not
stored: a slow database must not fill the slots with texts that are not being written."""
log = logging.getLogger(__name__)


async def generate(
    context: Context, where: Where, user_id: int | None, make_requests: Callable[[], Sequence[GenerationRequest]]
) -> tuple[int | None, list[Generation]]:
    """Waits for a slot and computes all texts together. Returns the user's number too.

    A user who has none yet is given one once the texts are admitted, so that a refusal costs the store nothing. The
    requests are made again then, for the weights that serve by that time.
    """
    requests = make_requests()
    began = time.perf_counter()
    async with context.admission.slot(
        where.queue_key,
        where.user_key,
        characters=OVERSHOOT * sum(request.characters for request in requests),
        rows=len(requests),
        trusted=context.is_operator(where),
        asked_at=where.asked_at,
    ):
        waited = time.perf_counter() - began
        if user_id is None:
            try:
                async with asyncio.timeout(USER_ID_TIMEOUT_SECONDS):
                    user_id = await context.store.ensure_user(where.platform, where.user)
            except (StoreError, TimeoutError) as error:  # the text is written without it
                reason = str(error) or f"the database takes longer than {USER_ID_TIMEOUT_SECONDS:g} s"
                log.error("user.not_stored reason=%s", reason)
        try:
            generations = await _together(context, make_requests())
        except InvalidRequest:  # other weights were loaded at this moment, with another vocabulary
            generations = await _together(context, make_requests())
    for generation in generations:
        context.observer.text_written(generation, waited)
    return user_id, generations


async def _together(context: Context, requests: Sequence[GenerationRequest]) -> list[Generation]:
    """Generates all at once. The first that fails cancels the others, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(context.generator.generate(request)) for request in requests]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


async def save(
    context: Context,
    where: Where,
    user_id: int | None,
    prompt: str,
    temperature: float,
    *,
    generation: Generation,
    written: ScoringRequest,
) -> str:
    """Stores a text and its state. Returns what the user should know when that fails; they get the text anyway."""
    if user_id is None:
        return messages.NOT_SAVED
    tail = (written.before + written.text)[-TAIL:]
    text = Conversation(prompt, temperature, generation.version, generation.state, tail, written)
    try:
        saved = await context.store.save_conversation(where.platform, where.chat, where.user, user_id, text)
    except StoreError as error:
        log.error("text.not_stored reason=%s", error)
        saved = False
    return "" if saved else messages.NOT_SAVED
