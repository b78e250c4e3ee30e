"""The log on standard error: one line for each event, with the ID of its request, never with a secret.

A line is `area.event key=value …`: `log.info("reload.refused version=%s reason=%s", …)`. The area is a noun (`reload`,
`telegram`, `store`), the event a noun or a past participle, both in lower case; free text (`reason=`, `error=`) is the
last field. No field holds what users type or what the network writes. Formats, redaction and request IDs enter here.
"""

from bot.logs.lines import format_error, request
from bot.logs.redaction import Redaction
from bot.logs.setup import dropped_lines, set_up

__all__ = ["Redaction", "dropped_lines", "format_error", "request", "set_up"]
