"""Asks the service that runs on this machine for something: the other end of `bot.service.admin_http`."""

from __future__ import annotations

import http.client
from typing import Final

import msgspec

from bot.config.schema import HttpSection
from bot.service.admin_api import MARK, RELOAD, Answer

PATIENCE_SECONDS: Final = 120.0
"""Weights load in a second or two; a small machine under load, with large weights, takes longer."""
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a service listens that listens everywhere
_LARGEST_ANSWER: Final = 65536
"""Bytes."""


class NoService(Exception):
    """Nobody answers; one line: where that was, and what to do."""


def ask_to_reload(section: HttpSection, patience: float = PATIENCE_SECONDS) -> Answer:
    """Asks for the weights that CURRENT names and waits, at most `patience` seconds, until they serve or cannot.

    Raises `NoService`.
    """
    if section.port == 0:
        raise NoService("[http] port is 0, so nobody knows where the service listens; give it a port, or send SIGHUP")
    host = _EVERYWHERE.get(section.host, section.host)
    place = f"{host}, port {section.port}"
    connection = http.client.HTTPConnection(host, section.port, timeout=patience)
    try:
        connection.request("POST", RELOAD, headers={MARK: "1"})
        response = connection.getresponse()
        ours = response.getheader(MARK) is not None
        content = response.read(_LARGEST_ANSWER)
    except TimeoutError:
        raise NoService(f"the service on {place} has not answered for {patience:g} s; its log says why") from None
    except (OSError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NoService(f"no service is running on {place} ({reason}); in a running `chat`, type /reload") from None
    finally:
        connection.close()
    if not ours:
        raise NoService(f"what answers on {place} is no LSTMega; [http] port must be that of the service")
    try:
        return msgspec.json.decode(content, type=Answer)
    except msgspec.DecodeError:
        raise NoService(f"the service on {place} failed ({response.status}); its log says why") from None
