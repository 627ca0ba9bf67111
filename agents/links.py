"""Records of `identity.links.v1`, made from links."""

from __future__ import annotations

from agents.runtime.contract import Emit
from agents.topics import LINKS
from parsers.records.links import Link, encode_link


def link_record(link: Link) -> Emit:
    """The link as a record of its topic, keyed by its patient."""
    return Emit(LINKS, link.patient.encode(), encode_link(link), (("received", str(link.received).encode()),))
