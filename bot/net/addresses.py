"""Addresses of this machine, and why a server cannot listen on one."""

from __future__ import annotations

import errno
import ipaddress


def explain_listen_error(host: str, port: int, error: Exception) -> str:
    """Returns why `listening` failed: the key that is wrong, and what to do."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port: {port} on {host} is taken by another program; choose another, or stop it"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"port: {port} is not for this user; choose one above 1023"
    return f"host: cannot listen on {host}: {' '.join(str(error).split())}"


def is_loopback(address: str | None) -> bool:
    """Returns whether only this machine has, and reaches, that address or host name."""
    if address == "localhost":
        return True
    try:
        number = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        return number.ipv4_mapped.is_loopback
    return number.is_loopback
