"""Client of the running service on this machine: asks `bot.service.admin_http` to reload the weights."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Final

import msgspec

from bot.config.schema import Config
from bot.net.addresses import loopback_of
from bot.service.admin_api import MARK, RELOAD, Answer, token_file

TIMEOUT_SECONDS: Final = 120.0
"""Weights load in a second or two; large ones on a small, busy machine take longer."""
_MAX_ANSWER_BYTES: Final = 65536


class NoService(Exception):
    """No service answers, or it does not accept the request; one line: where that was, and what to do."""


def request_reload(config: Config, timeout: float = TIMEOUT_SECONDS) -> Answer:
    """Requests the weights that CURRENT names, and waits at most `timeout` seconds until they serve or are refused.

    Raises `NoService`.
    """
    section = config.http
    if section.port == 0:
        raise NoService("[http] port is 0, so the service's port is not known; give it a port, or send SIGHUP")
    host = loopback_of(section.host)
    place = f"{host}, port {section.port}"
    path = token_file(config.folder, section.port)
    connection = http.client.HTTPConnection(host, section.port, timeout=timeout)
    try:
        connection.connect()
        connection.request("POST", RELOAD, headers={"Authorization": f"Bearer {_read(path)}"})
        response = connection.getresponse()
        is_ours = response.getheader(MARK) is not None
        content = response.read(_MAX_ANSWER_BYTES)
    except TimeoutError:
        raise NoService(f"the service on {place} has not answered for {timeout:g} s; its log says why") from None
    except PermissionError:
        raise NoService(f"{path}: cannot be read; run `reload` as the service's user, or send SIGHUP") from None
    except (OSError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NoService(f"no service is running on {place} ({reason}); in a running `chat`, type /reload") from None
    finally:
        connection.close()
    if not is_ours:
        raise NoService(f"what answers on {place} is no LSTMega; [http] port must be that of the service")
    if response.status == http.client.FORBIDDEN:
        raise NoService(
            f"the service on {place} does not accept the token in {path}: it keeps its state elsewhere;"
            " run `reload` with its configuration and as its user, or send SIGHUP"
        )
    try:
        return msgspec.json.decode(content, type=Answer)
    except msgspec.DecodeError:
        raise NoService(f"the service on {place} failed ({response.status}); its log says why") from None


def _read(path: Path) -> str:
    """Returns the token, or an empty one where there is no file. Raises `PermissionError`."""
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
