"""TLS for the doors, and who the other side is."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

import msgspec

from parsers.hl7.profiles import Profiles, is_peer

_NAMES: Final = ("DNS", "URI", "email", "IP Address")


class Tls(msgspec.Struct, frozen=True):
    """PEM files. With `client_ca` the other side must show a certificate of that authority."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def server_context(tls: Tls) -> ssl.SSLContext:
    """A context for a listening socket (TLS 1.2 and later). Raises OSError (ssl.SSLError) for bad files."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_ca is not None:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """A context for connecting: the server must have a certificate of `ca` (or of the system's authorities)."""
    context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def names_in(certificate: dict[str, Any]) -> list[str]:
    """The names of a verified certificate (`SSLSocket.getpeercert`), alternative names before the common name."""
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in _NAMES]
    for part in certificate.get("subject", ()):
        names += [value for kind, value in part if kind == "commonName"]
    return [name.lower() for name in names]


def peer_name(certificate: dict[str, Any] | None, address: str, profiles: Profiles) -> str:
    """Who the other side is: the name in its certificate that a profile lists, else its first name, else `address`."""
    names = names_in(certificate) if certificate else []
    for name in names:
        if any(is_peer(profile, name) for profile in profiles):
            return name
    return names[0] if names else address
