"""From a true visit to what its hospital says about it, move by move, in the order in which a clerk enters it.

Entries lie more than a minute apart, so that the order of any two is plain even where a sender writes whole minutes.
Every move states the class as it is known by then; the last statement about anything is the true one.
"""

from __future__ import annotations

from random import Random

import msgspec

from simulator.conditions import BENIGN
from simulator.places import Dialect
from simulator.world import DAY, HOUR, MINUTE, OFFSETS, Visit


class Move(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message about a visit before it is written. Times in ms UTC; "" and None: it says nothing of that.

    `occurred` is what EVN-6 says, `kind` the class, `begun` and `ended` PV1-44 and PV1-45.
    """

    trigger: str
    recorded: int
    occurred: int | None
    kind: str
    visit: str
    begun: int | None
    ended: int | None = None
    disposition: str = ""
    diagnoses: tuple[str, ...] | None = None
    prior: str = ""


class _Desk:
    """Keeps the time of entry going forwards, and writes the moves down."""

    def __init__(self, visit: Visit, dialect: Dialect, rng: Random) -> None:
        self.true = visit
        self.dialect = dialect
        self.rng = rng
        self.moves: list[Move] = []
        self.clock = 0
        self.kind = visit.kind
        self.number = visit.prior or visit.visit
        self.begun: int | None = visit.arrived

    def say(
        self,
        trigger: str,
        entered: int,
        occurred: int | None = None,
        ended: int | None = None,
        disposition: str = "",
        diagnoses: tuple[str, ...] | None = None,
        prior: str = "",
    ) -> None:
        self.clock = OFFSETS.unrepeated(max(entered, self.clock + 90_000))
        self.moves.append(
            Move(
                trigger,
                self.clock,
                occurred,
                self.kind,
                self.number,
                self.begun,
                ended,
                disposition,
                diagnoses,
                prior,
            )
        )

    def chatter(self, until: int, most: int) -> None:
        """Updates that change nothing, between now and `until`."""
        count = self.rng.randint(0, most)
        room = until - self.clock
        for place in range(count):
            if room > 10 * MINUTE:
                self.say("A08", self.clock + int(room * self.rng.random() / (count - place + 1)))


def course(visit: Visit, dialect: Dialect, cutoff: int, rng: Random) -> list[Move]:
    """The moves of a visit, none of them entered after `cutoff` (ms UTC)."""
    desk = _Desk(visit, dialect, rng)
    if visit.kind == "expected":
        _expect(desk)
    else:
        _arrive(desk)
        if visit.cancelled:
            _cancel(desk)
        else:
            _admit(desk)
            _stay(desk, cutoff)
            if visit.departed is not None:
                _leave(desk, visit.departed)
    return [move for move in desk.moves if move.recorded <= cutoff]


def _expect(desk: _Desk) -> None:
    entered = desk.true.arrived - desk.rng.randint(3, 20) * DAY
    desk.begun = None
    desk.say("A05", entered, diagnoses=desk.true.working)
    if desk.true.cancelled:
        desk.say("A38", entered + desk.rng.randint(1, 40) * HOUR)


def _arrive(desk: _Desk) -> None:
    true, rng = desk.true, desk.rng
    entered = true.arrived + rng.randint(0, 6) * MINUTE
    arrived = true.arrived
    if true.from_emergency:
        desk.kind = "emergency"
    elif true.course == "misclassed":
        desk.kind = {"emergency": "outpatient", "outpatient": "emergency", "inpatient": "emergency"}[true.kind]
    if true.course == "arrival corrected":
        arrived += rng.choice((-26, -3, 2)) * HOUR
        desk.begun = arrived
    bed = desk.kind in ("inpatient", "snf")
    if true.admission_type == "3" and bed and rng.random() < 0.6:
        desk.kind, desk.begun = "expected", None
        desk.say("A05", true.arrived - rng.randint(3, 20) * DAY)
        desk.kind, desk.begun = true.kind, arrived
    desk.say("A01" if bed else "A04", entered, occurred=arrived, diagnoses=true.working)
    if true.course == "arrival corrected":
        desk.begun = true.arrived
        desk.say("A08", entered + 40 * MINUTE)
    elif true.course == "misclassed":
        desk.kind = true.kind
        desk.say("A08", entered + rng.randint(5, 50) * MINUTE)


def _cancel(desk: _Desk) -> None:
    arrival = desk.moves[-1]
    if desk.true.course != "fast":
        desk.chatter(desk.clock + 3 * HOUR, 2)
    desk.say("A11", desk.clock + desk.rng.randint(3, 200) * MINUTE, occurred=arrival.occurred)


def _admit(desk: _Desk) -> None:
    """What turns an attendance into a stay, an observation, or (revoked) into neither."""
    true, rng = desk.true, desk.rng
    if true.kind == "observation" and true.from_emergency:
        desk.chatter(true.arrived + 2 * HOUR, 1)
        desk.kind = "observation"
        desk.say("A08", true.arrived + 3 * HOUR)
    elif true.admitted is not None and true.from_emergency:
        desk.chatter(true.admitted, 2)
        _admission(desk, true.admitted)
    elif true.course == "admission revoked" and true.departed is not None:
        moment = true.arrived + (true.departed - true.arrived) // 2
        moment -= moment % MINUTE
        _admission(desk, moment)
        desk.chatter(desk.clock + HOUR, 1)
        desk.kind, desk.begun = "emergency", true.arrived
        if desk.dialect.admits_by == "A01":
            desk.say("A11", desk.clock + rng.randint(5, 40) * MINUTE, occurred=moment)
        else:
            back = desk.clock + rng.randint(5, 40) * MINUTE
            desk.say("A07", back, occurred=back)


def _admission(desk: _Desk, moment: int) -> None:
    desk.kind = "inpatient"
    prior = ""
    if desk.true.prior:
        prior, desk.number = desk.number, desk.true.visit
    if desk.dialect.admits_by == "A01":
        desk.begun = moment
    desk.say("A01" if desk.dialect.admits_by == "A01" else "A06", moment, occurred=moment, prior=prior)


def _stay(desk: _Desk, cutoff: int) -> None:
    """Updates while the person is there, transfers, and now and then a transfer that was none."""
    true, rng = desk.true, desk.rng
    until = true.departed if true.departed is not None else cutoff
    inside = desk.kind in ("inpatient", "snf", "observation")
    desk.chatter(until, 5 if inside else 2)
    if inside and until - desk.clock > 4 * HOUR and rng.random() < 0.5:
        moved = desk.clock + (until - desk.clock) // 3
        desk.say("A02", moved, occurred=moved)
        if rng.random() < 0.15:
            desk.say("A12", moved + 30 * MINUTE, occurred=moved)
        desk.chatter(until, 2)


def _leave(desk: _Desk, departed: int) -> None:
    """The departure, what was wrong about it at first, and the coding that follows."""
    true, rng = desk.true, desk.rng
    final: tuple[str, ...] | None = true.diagnoses
    if true.course == "reopened":
        early = max(desk.clock + 2 * MINUTE, departed - rng.randint(60, 240) * MINUTE)
        if early + 20 * MINUTE < departed:
            early -= early % MINUTE
            desk.say("A03", early, occurred=early, ended=early, disposition=rng.choice(("01", "02", "03")))
            desk.say("A13", early + 5 * MINUTE, occurred=early)
    said, ended = true.disposition, departed
    if true.course == "disposition corrected":
        said = rng.choice([code for code in ("01", "02", "03", "81", "07") if code != true.disposition])
    if true.course == "departure corrected":
        ended += rng.choice((-2, 3, 20)) * HOUR
    at_once = true.course != "recoded" and rng.random() < 0.5
    settled = true.course in ("recoded", "disposition corrected", "departure corrected")
    dropped = (rng.choice(BENIGN), "E119") if true.course == "recoded" else None
    diagnoses = final if at_once or not settled else dropped
    desk.say("A03", departed + rng.randint(0, 20) * MINUTE, ended, ended, said, diagnoses)
    if settled:
        entered = desk.clock + rng.randint(30, 100 * 60) * MINUTE
        desk.say("A08", entered, None, departed, true.disposition, final)
        if rng.random() < 0.5:
            desk.say("A08", desk.clock + rng.randint(5, 300) * MINUTE, None, departed, true.disposition)
    elif rng.random() < 0.4:
        desk.say("A08", desk.clock + rng.randint(5, 90) * MINUTE, None, departed, true.disposition)
