"""The transcripts in the documentation are what the bot says."""

from __future__ import annotations

import secrets

import pytest
from transcripts import BLOCK, DOCUMENT, transcripts, without_generated


async def test_the_transcripts_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbelow", secrets.randbelow)  # which they change
    block = BLOCK.search(DOCUMENT.read_text(encoding="utf-8"))
    assert block is not None
    found = await transcripts()
    assert without_generated(found) == without_generated(block[0]), "python tests/transcripts.py writes them anew"
