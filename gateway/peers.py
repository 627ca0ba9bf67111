"""The name of a peer: from its certificate where it presents one, else its address."""

from __future__ import annotations

from typing import Any, Final

from parsers.hl7.profiles import Profiles, is_peer

_NAMES: Final = ("DNS", "URI", "email", "IP Address")


def names_in(certificate: dict[str, Any]) -> list[str]:
    """The names of a verified certificate (`SSLSocket.getpeercert`), alternative names before the common name."""
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in _NAMES]
    for part in certificate.get("subject", ()):
        names += [value for kind, value in part if kind == "commonName"]
    return [name.lower() for name in names]


def peer_name(certificate: dict[str, Any] | None, address: str, profiles: Profiles) -> str:
    """The name in the peer's certificate that a profile lists, else its first name, else `address`."""
    names = names_in(certificate) if certificate else []
    for name in names:
        if any(is_peer(profile, name) for profile in profiles):
            return name
    return names[0] if names else address
