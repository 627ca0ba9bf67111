"""Mistakes about whose record it is: wrong person, wrong merge, wrong birth date, another person's CIN.

Each function makes one of them, if it can, and says whether it did.
"""

from __future__ import annotations

from datetime import date

import msgspec

from simulator.case import Case
from simulator.irregularities import LATEST_CORRECTION
from simulator.world import DAY, Merger


def moved(case: Case) -> bool:
    """A visit registered on another person's record, and moved with A45."""
    return _register_wrongly(case, "A45")


def account_moved(case: Case) -> bool:
    """Likewise, and its account moved with A44."""
    return _register_wrongly(case, "A44")


def _register_wrongly(case: Case, trigger: str) -> bool:
    choices = [visit for visit in case.settled() if case.known_without(visit)]
    if case.other is None or not choices:
        return False
    true = case.rng.choice(choices)
    assert true.departed is not None
    account = f"K{true.visit[1:]}" if trigger == "A44" else ""
    number = case.other.number(true.sender)
    wrong = msgspec.structs.replace(true, number=number, registered=case.other.index, account=account)
    case.found.visits = [wrong if visit is true else visit for visit in case.found.visits]
    visit = true.visit if trigger == "A45" else ""
    moment = case.moment(true.departed + LATEST_CORRECTION, 3)
    case.found.mergers.append(
        Merger(case.person.index, true.sender, true.number, number, moment, trigger, case.other.index, visit, account)
    )
    return True


def moved_back(case: Case) -> bool:
    """A visit on the right record that was moved to another one, and moved back."""
    choices = case.settled()
    if case.other is None or not choices:
        return False
    true = case.rng.choice(choices)
    assert true.departed is not None
    away, sender = case.moment(true.departed, 3), true.sender
    number = case.other.number(sender)
    case.found.mergers += [
        Merger(case.other.index, sender, number, true.number, away, "A45", case.person.index, true.visit),
        Merger(
            case.person.index, sender, true.number, number, case.moment(away, 3), "A45", case.other.index, true.visit
        ),
    ]
    return True


def merged_by_mistake(case: Case) -> bool:
    """The numbers of two people merged with A40 or linked with A24, and taken apart with A37."""
    choices = case.settled()
    if case.other is None or not choices:
        return False
    sender = case.rng.choice(choices).sender
    pair = [case.person, case.other]
    case.rng.shuffle(pair)
    kept, retired = pair
    first = case.moment(case.cutoff - 60 * DAY, 40)
    trigger = case.rng.choice(("A40", "A40", "A24"))
    one, two = case.rng.sample(pair, 2)
    case.found.mergers += [
        Merger(kept.index, sender, kept.number(sender), retired.number(sender), first, trigger, retired.index),
        Merger(one.index, sender, one.number(sender), two.number(sender), case.moment(first, 10), "A37", two.index),
    ]
    return True


def mistyped(case: Case) -> bool:
    """A birth date that one sender writes with a wrong digit, or with two digits swapped; it is accepted."""
    senders = sorted({visit.sender for visit in case.found.visits})
    slips = _digits(case.person.birth)
    swaps = _swaps(case.person.birth)
    if not senders or not slips:
        return False
    if swaps and case.rng.random() < 0.5:
        slips = swaps
    sender = case.rng.choice(senders)
    case.found.shown[case.person.index, sender] = msgspec.structs.replace(case.person, birth=case.rng.choice(slips))
    return True


def _digits(birth: int) -> list[int]:
    """The birth dates (ordinals) with one digit other; not much later ones."""
    text = date.fromordinal(birth).strftime("%Y%m%d")
    return _valid({f"{text[:i]}{digit}{text[i + 1 :]}" for i in range(3, 8) for digit in "0123456789"}, birth)


def _swaps(birth: int) -> list[int]:
    """The birth dates (ordinals) with two different adjacent digits swapped; not much later ones."""
    text = date.fromordinal(birth).strftime("%Y%m%d")
    return _valid({f"{text[:i]}{text[i + 1]}{text[i]}{text[i + 2 :]}" for i in range(3, 7)}, birth)


def _valid(texts: set[str], birth: int) -> list[int]:
    found: list[int] = []
    for each in sorted(texts):
        try:
            day = date(int(each[:4]), int(each[4:6]), int(each[6:])).toordinal()
        except ValueError:
            continue
        if day != birth and day < birth + 60:
            found.append(day)
    return found


def number_of_another(case: Case) -> bool:
    """The CIN of somebody else on a record: refused, so the visits under it count for nobody."""
    senders = sorted({visit.sender for visit in case.found.visits})
    owner = next((each for each in reversed(case.before) if each.member and each.family != case.person.family), None)
    if not senders or owner is None or case.person.found_by == "roster" or case.found.mergers:
        return False
    sender = case.rng.choice(senders)
    case.found.shown[case.person.index, sender] = msgspec.structs.replace(case.person, cin=owner.cin)
    case.found.visits = [
        msgspec.structs.replace(visit, nobodys=True) if visit.sender == sender else visit for visit in case.found.visits
    ]
    return True
