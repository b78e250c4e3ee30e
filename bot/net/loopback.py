"""Which addresses are those of this machine alone."""

from __future__ import annotations

import ipaddress


def is_local(address: str | None) -> bool:
    """Whether nobody on another machine has, or reaches, that address."""
    if address == "localhost":
        return True
    try:
        number = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        return number.ipv4_mapped.is_loopback
    return number.is_loopback
