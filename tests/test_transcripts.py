"""The transcripts in the documentation are what the bot says."""

from __future__ import annotations

import io
import secrets

import pytest
from chat_picture import SAYS
from PIL import Image
from transcripts import BLOCK, DOCUMENT, SETTINGS_PICTURE, transcripts, without_generated

MAX_BYTES = 60_000
"""Of a picture in the documentation."""


async def test_the_transcripts_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbelow", secrets.randbelow)  # which they change
    block = BLOCK.search(DOCUMENT.read_text(encoding="utf-8"))
    assert block is not None
    found, pictures = await transcripts()
    assert without_generated(found) == without_generated(block[0]), "python tests/transcripts.py writes them anew"
    shown = {Image.open(file).text[SAYS] for file in (SETTINGS_PICTURE, io.BytesIO(pictures[SETTINGS_PICTURE]))}
    assert len(shown) == 1, "the picture of /settings shows another message"
    for file in pictures:
        assert file.name in DOCUMENT.read_text(encoding="utf-8")
        assert file.read_bytes().startswith(b"\x89PNG")
        assert file.stat().st_size <= MAX_BYTES
