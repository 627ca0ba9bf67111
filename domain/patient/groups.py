"""Groups of merged and linked patients, and the member of each group.

A row of the patient stage has its own edges and its own evidence. It publishes both as `PatientFacts`; this module
resolves the groups that the facts of all rows form. Information flows one way: what a row publishes never depends on a
resolution. So the exchange of records ends for every graph of merges, rings included, and the result is a function of
the set of facts (docs/semantics.md#merges, docs/semantics.md#ownership).

A merge is an edge from the retired patient to the survivor; each patient has at most one, so the edges form trees,
some with a ring in place of a root. In a ring the edge of the smallest rank is refused, and the patient that it
retired is the root. A link (A24) joins two trees without retiring either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from domain.patient.facts import CIN, OPERATOR, Evidence, PatientFacts, Resolution


class Groups:
    """All groups. `update` takes the facts of one row; `resolve_changed` gives the resolutions that changed since its
    last call.

    A resolution costs time proportional to the group, and only the groups that changed since the last call are
    resolved; joining a tree whose owner does not change costs time proportional to what is joined and to its depth.
    """

    def __init__(self) -> None:
        self._facts: dict[str, PatientFacts] = {}
        self._children: dict[str, set[str]] = {}
        self._linked: dict[str, set[str]] = {}
        self._best: dict[str, tuple[Evidence, str] | None] = {}
        """Root of a tree without links -> the greatest evidence below it, and its patient."""
        self._resolved: dict[str, Resolution] = {}
        self._dirty: set[str] = set()
        self._changed: dict[str, None] = {}
        self._followers: dict[str, set[str]] = {}

    def update(self, facts: PatientFacts) -> None:
        """Take the facts of one row in place of those it published before."""
        patient = facts.patient
        before = self._facts.get(patient)
        if facts == before:
            return
        joined = self._joined(before, facts)
        self._unlist(before)
        self._facts[patient] = facts
        for other in facts.follows:
            self._followers.setdefault(other, set()).add(patient)
        if facts.parent is not None and facts.parent.value is not None:
            self._children.setdefault(facts.parent.value, set()).add(patient)
        for other in facts.partners:
            self._linked.setdefault(patient, set()).add(other)
            self._linked.setdefault(other, set()).add(patient)
        if joined is None or not self._join(patient, joined):
            self._dirty.add(patient)
            self._dirty.update(_neighbors(before) | _neighbors(facts))

    def resolve_changed(self) -> list[tuple[str, Resolution]]:
        """(patient, resolution) of each patient whose resolution changed since the last call, in order of patients."""
        dirty, self._dirty = self._dirty, set()
        seen: set[str] = set()
        for patient in sorted(dirty):
            if patient not in seen:
                component = self._component(patient)
                seen.update(component)
                self._resolve(component)
        changed, self._changed = sorted(self._changed), {}
        return [(patient, self._resolved[patient]) for patient in changed]

    def resolution(self, patient: str) -> Resolution | None:
        """The resolution of a patient as `resolve_changed` last gave it; None for a patient in no group."""
        return self._resolved.get(patient)

    def follows(self, patient: str) -> tuple[str, ...]:
        """The patients whose members the row of `patient` needs."""
        facts = self._facts.get(patient)
        return () if facts is None else facts.follows

    def followers(self, patient: str) -> list[str]:
        """The patients whose rows need the member of `patient`."""
        return sorted(self._followers.get(patient, ()))

    def members(self, patient: str) -> list[str]:
        """The patients of the group, this one included, in order."""
        return sorted(self._component(patient))

    def _unlist(self, before: PatientFacts | None) -> None:
        if before is None:
            return
        if before.parent is not None and before.parent.value is not None:
            siblings = self._children[before.parent.value]
            siblings.discard(before.patient)
            if not siblings:
                del self._children[before.parent.value]

    def _parent(self, patient: str) -> str | None:
        facts = self._facts.get(patient)
        return None if facts is None or facts.parent is None else facts.parent.value

    def _joined(self, before: PatientFacts | None, facts: PatientFacts) -> str | None:
        """The survivor that a root now joins, where that is all that changed about trees without links; else None."""
        if self._dirty or facts.parent is None or facts.parent.value is None or facts.partners:
            return None
        if before is not None and (before.parent is not None or before.operator != facts.operator):
            return None
        if facts.operator is not None or facts.patient in self._linked:
            return None
        return facts.parent.value

    def _join(self, patient: str, survivor: str) -> bool:
        """Whether the tree below `patient` could be joined to that of `survivor` without resolving all of it."""
        root, steps = survivor, 0
        while (parent := self._parent(root)) is not None:
            root, steps = parent, steps + 1
            if root == patient or steps > len(self._facts):
                return False  # a ring
        resolution = self._resolved.get(root)
        if resolution is None or root not in self._best or resolution.conflict or resolution.method == OPERATOR:
            return False
        above = self._facts.get(root)
        joining = [*self._tree(patient)]
        if any(self._linked.get(each) or self._operator(each) for each in joining):
            return False
        own = [
            (facts.evidence, each)
            for each in joining
            if (facts := self._facts.get(each)) is not None and facts.evidence is not None
        ]
        if any(self._conflicts(evidence, resolution) for evidence, _ in own):
            return False
        known = self._best[root]
        best = _greatest(own if known is None else [known, *own])
        if (above is None or above.evidence is None) and best != known:
            return False  # another member, or another patient's evidence, may decide for the whole tree now
        self._best[root] = best
        for each in joining:
            self._best.pop(each, None)
            self._put(each, resolution)
        return True

    def _conflicts(self, evidence: Evidence, resolution: Resolution) -> bool:
        return evidence.method == CIN and evidence.claim.value != resolution.member

    def _operator(self, patient: str) -> bool:
        facts = self._facts.get(patient)
        return facts is not None and facts.operator is not None

    def _tree(self, patient: str) -> Iterator[str]:
        """The patients below `patient`, itself first."""
        waiting = [patient]
        while waiting:
            each = waiting.pop()
            yield each
            waiting += self._children.get(each, ())

    def _component(self, patient: str) -> list[str]:
        """All that edges and links join to `patient`."""
        found = {patient: None}
        waiting = [patient]
        while waiting:
            each = waiting.pop()
            parent = self._parent(each)
            near = [*self._children.get(each, ()), *self._linked_to(each)]
            if parent is not None:
                near.append(parent)
            for other in near:
                if other not in found:
                    found[other] = None
                    waiting.append(other)
        return list(found)

    def _linked_to(self, patient: str) -> Iterator[str]:
        """The patients that a link in force joins to `patient`: the later statement of the two rows decides."""
        for other in self._linked.get(patient, ()):
            claims = [
                claim
                for one, two in ((patient, other), (other, patient))
                if (facts := self._facts.get(one)) is not None and (claim := facts.partners.get(two)) is not None
            ]
            last = max(claims, key=lambda claim: claim.rank, default=None)
            if last is not None and last.value is not None:
                yield other

    def _resolve(self, component: list[str]) -> None:
        """Resolve all patients of one component."""
        roots = self._roots(component)
        trees: dict[str, list[str]] = {}
        for patient, root in roots.items():
            trees.setdefault(root, []).append(patient)
        facts = self._facts
        known = {patient: facts[patient] for patient in component if patient in facts}
        cins = {f.evidence.claim.value for f in known.values() if f.evidence is not None and f.evidence.method == CIN}
        conflict = len(cins) > 1
        operators = [(f.operator, patient) for patient, f in known.items() if f.operator is not None]
        linked = len(trees) > 1
        everywhere = _greatest((f.evidence, patient) for patient, f in known.items() if f.evidence is not None)
        for root, tree in trees.items():
            below = [(f.evidence, p) for p in tree if p != root and (f := known.get(p)) is not None and f.evidence]
            best = _greatest(below)
            self._best.pop(root, None)
            if not linked and not operators:
                self._best[root] = best
            own = known.get(root)
            if own is not None and own.operator is not None:
                found: tuple[Evidence, str] | None = (own.operator, root)
            elif operators:
                found = _greatest(operators)
            elif own is not None and own.evidence is not None:
                found = (own.evidence, root)
            else:
                found = best or everywhere
            resolution = (
                Resolution(None, "", root, "", conflict)
                if found is None
                else Resolution(found[0].claim.value, found[0].method, root, found[1], conflict)
            )
            for patient in tree:
                if patient != root:
                    self._best.pop(patient, None)
                self._put(patient, resolution)

    def _roots(self, component: list[str]) -> dict[str, str]:
        """Patient -> the root of its tree, with the smallest edge of each ring refused."""
        roots: dict[str, str] = {}
        for start in component:
            path: dict[str, None] = {}
            patient = start
            while patient not in roots and patient not in path:
                path[patient] = None
                parent = self._parent(patient)
                if parent is None:
                    roots[patient] = patient
                    break
                patient = parent
            if patient in roots:
                root = roots[patient]
            else:
                trail = list(path)
                ring = trail[trail.index(patient) :]
                root = min(ring, key=self._edge_order)
            for each in path:
                roots[each] = root
        return roots

    def _edge_order(self, patient: str) -> Any:
        parent = self._facts[patient].parent
        assert parent is not None
        return (parent.rank[0], patient)

    def _put(self, patient: str, resolution: Resolution) -> None:
        if self._resolved.get(patient) != resolution:
            self._resolved[patient] = resolution
            self._changed[patient] = None


def _neighbors(facts: PatientFacts | None) -> set[str]:
    """The patients that an earlier version of a row's facts joined to it."""
    if facts is None:
        return set()
    found = set(facts.partners)
    if facts.parent is not None and facts.parent.value is not None:
        found.add(facts.parent.value)
    return found


def _order(evidence: Evidence) -> Any:
    return (evidence.claim.rank, evidence.method)


def _greatest(found: Iterable[tuple[Evidence | None, str]]) -> tuple[Evidence, str] | None:
    """The evidence of the greatest rank, and its patient."""
    best: tuple[Evidence, str] | None = None
    for evidence, patient in found:
        if evidence is not None and (best is None or (_order(evidence), patient) > (_order(best[0]), best[1])):
            best = (evidence, patient)
    return best
