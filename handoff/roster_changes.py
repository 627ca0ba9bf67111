"""What loading a roster file would change: its members compared with those that `members.roster.v1` holds now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from agents.topics import ROSTER
from parsers.records.roster_documents import RosterDocument, same_roster
from streams.kafka.read import snapshot
from streams.kafka.settings import KafkaSettings


class Changes(msgspec.Struct, frozen=True):
    """Members to write (`added`, `changed`), `unchanged` ones, and those to remove: the member IDs of each.

    `kept`: members that a full replacement would remove, if a row of the file that cannot be read did not forbid it.
    `known`: how many members the roster had.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    kept: int
    known: int

    def removes_more_than(self, share: float) -> bool:
        """Whether more than this share of the roster would be removed."""
        return len(self.removed) > share * self.known


def changes(kafka: KafkaSettings, documents: Sequence[RosterDocument], rejected: frozenset[str], full: bool) -> Changes:
    """Compare. `full`: members that the file does not name are removed; never one that a rejected row names, and none
    at all if a rejected row names nobody (`rejected` has "").

    Raises TopicMissing and KafkaException.
    """
    wanted = {document.member_id: document for document in documents}
    same = _compared(kafka, wanted)
    absent = [member for member in same if member not in wanted and member not in rejected] if full else []
    found: dict[bool | None, list[str]] = {None: [], False: [], True: []}
    for member in wanted:
        found[same.get(member)].append(member)
    return Changes(
        added=tuple(found[None]),
        changed=tuple(found[False]),
        unchanged=tuple(found[True]),
        removed=() if "" in rejected else tuple(sorted(absent)),
        kept=len(absent) if "" in rejected else 0,
        known=len(same),
    )


def records(
    documents: Sequence[RosterDocument], found: Changes, again: bool = False
) -> Iterator[tuple[str, RosterDocument | None]]:
    """(member, document or None for a removed one) to write; with `again`, unchanged ones too."""
    written = {*found.added, *found.changed, *(found.unchanged if again else ())}
    yield from ((document.member_id, document) for document in documents if document.member_id in written)
    yield from ((member, None) for member in found.removed)


def _compared(kafka: KafkaSettings, wanted: dict[str, RosterDocument]) -> dict[str, bool]:
    """Each member on the topic, and whether its record states what the file does."""
    same: dict[str, bool] = {}
    for record in snapshot(kafka, [ROSTER]):
        member = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            same.pop(member, None)
        else:
            document = wanted.get(member)
            same[member] = document is not None and same_roster(record.value, document)
    return same
