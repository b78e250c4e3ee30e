"""What systemd wants to know from a service, as sd_notify(3) describes it: datagrams to the socket that it names."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"


def notify(*states: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tells systemd; returns whether there is one that listens. Raises `OSError` when its socket does not take it."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):  # sd_notify(3): a path, or an abstract name behind an @; vsock is for guests
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
        datagrams.setblocking(False)  # a service must not hang on the one who watches it
        datagrams.sendto("\n".join(states).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
    return True


def status(text: str) -> str:
    """The line that `systemctl status` shows."""
    return f"STATUS={' '.join(text.split())}"
