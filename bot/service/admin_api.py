"""The request for a reload as `bot.service.admin_http` serves it and `bot.cli.reload_client` sends it."""

from __future__ import annotations

from typing import Final

import msgspec

RELOAD: Final = "/reload"
MARK: Final = "X-LSTMega"
"""Header that a request which changes something must have, and every answer has. A page in somebody's browser cannot
send it to another address without asking first (CORS), so it cannot reload on their behalf."""


class Answer(msgspec.Struct, frozen=True):
    """Whether the weights were taken up, and what the service says about it."""

    reloaded: bool
    message: str
