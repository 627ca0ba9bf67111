"""The trigger events of a true visit, in the order in which its hospital enters them.

Entries are more than a minute apart, so that times in whole minutes give their order too. Each event states the class
known at that time; the last statement about each fact is the true one.
"""

from __future__ import annotations

from random import Random

import msgspec

from simulator.conditions import BENIGN
from simulator.places import Dialect
from simulator.world import DAY, HOUR, MINUTE, OFFSETS, Visit, number_sent


class TriggerEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The content of one message about a visit. Times in ms UTC; "" and None: the field is empty.

    `occurred` is EVN-6, `kind` the class, `begun` and `ended` PV1-44 and PV1-45.
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


class _Log:
    """The events of one visit so far, and its state; the time of entry only increases."""

    def __init__(self, visit: Visit, dialect: Dialect, rng: Random) -> None:
        self.true = visit
        self.dialect = dialect
        self.rng = rng
        self.events: list[TriggerEvent] = []
        self.clock = 0
        self.kind = visit.kind
        self.number = visit.prior or number_sent(visit)
        self.begun: int | None = visit.arrived

    def add(
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
        self.events.append(
            TriggerEvent(
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

    def updates(self, until: int, most: int) -> None:
        """Add at most `most` updates that change nothing, from now to `until`."""
        count = self.rng.randint(0, most)
        room = until - self.clock
        for place in range(count):
            if room > 10 * MINUTE:
                self.add("A08", self.clock + int(room * self.rng.random() / (count - place + 1)))


def trigger_events(visit: Visit, dialect: Dialect, cutoff: int, rng: Random) -> list[TriggerEvent]:
    """The trigger events of a visit that are entered up to `cutoff` (ms UTC)."""
    log = _Log(visit, dialect, rng)
    if visit.kind == "expected":
        _expect(log)
    else:
        _arrive(log)
        if visit.cancelled:
            _cancel(log)
        else:
            _admit(log)
            _stay(log, cutoff)
            if visit.departed is not None:
                _depart(log, visit.departed)
            elif visit.course == "departed by mistake":
                _depart_not(log)
    return [event for event in log.events if event.recorded <= cutoff]


def update_of(visit: Visit, recorded: int) -> TriggerEvent:
    """An A08 that repeats the final facts of a visit that has ended."""
    return TriggerEvent(
        "A08", recorded, None, visit.kind, visit.visit, visit.arrived, visit.departed, visit.disposition
    )


def _expect(log: _Log) -> None:
    entered = log.true.arrived - log.rng.randint(3, 20) * DAY
    log.begun = None
    log.add("A05", entered, diagnoses=log.true.working)
    if log.true.cancelled:
        log.add("A38", entered + log.rng.randint(1, 40) * HOUR)


def _arrive(log: _Log) -> None:
    true, rng = log.true, log.rng
    entered = true.arrived + rng.randint(0, 6) * MINUTE
    arrived = true.arrived
    if true.from_emergency:
        log.kind = "emergency"
    elif true.course == "misclassed":
        log.kind = {"emergency": "outpatient", "outpatient": "emergency", "inpatient": "emergency"}[true.kind]
    if true.course == "arrival corrected":
        arrived += rng.choice((-26, -3, 2)) * HOUR
        log.begun = arrived
    if true.course == "arrival sent again":
        arrived += rng.choice((-74, -26, -3, 2)) * HOUR
        log.begun = arrived
    bed = log.kind in ("inpatient", "snf")
    if true.admission_type == "3" and bed and rng.random() < 0.6:
        log.kind, log.begun = "expected", None
        log.add("A05", true.arrived - rng.randint(3, 20) * DAY)
        log.kind, log.begun = true.kind, arrived
    log.add("A01" if bed else "A04", entered, occurred=arrived, diagnoses=true.working)
    if true.course == "arrival corrected":
        log.begun = true.arrived
        log.add("A08", entered + 40 * MINUTE)
    elif true.course == "arrival sent again":
        log.begun = true.arrived
        log.add("A01" if bed else "A04", entered + 20 * MINUTE, occurred=true.arrived)
    elif true.course == "misclassed":
        log.kind = true.kind
        log.add("A08", entered + rng.randint(5, 50) * MINUTE)


def _cancel(log: _Log) -> None:
    arrival = log.events[-1]
    if log.true.course != "fast":
        log.updates(log.clock + 3 * HOUR, 2)
    log.add("A11", log.clock + log.rng.randint(3, 200) * MINUTE, occurred=arrival.occurred)


def _admit(log: _Log) -> None:
    """The admission or observation of an ED attendance, or an admission that is revoked."""
    true, rng = log.true, log.rng
    if true.kind == "observation" and true.from_emergency:
        log.updates(true.arrived + 2 * HOUR, 1)
        log.kind = "observation"
        log.add("A08", true.arrived + 3 * HOUR)
    elif true.admitted is not None and true.from_emergency:
        log.updates(true.admitted, 2)
        if true.course == "admission sent again":
            early = max(true.admitted - rng.choice((1, 3, 30)) * HOUR, true.arrived + 10 * MINUTE)
            _admission(log, early)
        _admission(log, true.admitted)
    elif true.course == "admission revoked" and true.departed is not None:
        moment = true.arrived + (true.departed - true.arrived) // 2
        moment -= moment % MINUTE
        _admission(log, moment)
        log.updates(log.clock + HOUR, 1)
        log.kind, log.begun = "emergency", true.arrived
        if log.dialect.admits_by == "A01":
            log.add("A11", log.clock + rng.randint(5, 40) * MINUTE, occurred=moment)
        else:
            back = log.clock + rng.randint(5, 40) * MINUTE
            log.add("A07", back, occurred=back)


def _admission(log: _Log, moment: int) -> None:
    log.kind = "inpatient"
    prior = ""
    if log.true.prior and log.number != log.true.visit:
        prior, log.number = log.number, log.true.visit
    if log.dialect.admits_by == "A01":
        log.begun = moment
    log.add("A01" if log.dialect.admits_by == "A01" else "A06", moment, occurred=moment, prior=prior)


def _stay(log: _Log, cutoff: int) -> None:
    """Updates and transfers during the stay; some transfers are canceled."""
    true, rng = log.true, log.rng
    until = true.departed if true.departed is not None else cutoff
    inside = log.kind in ("inpatient", "snf", "observation")
    log.updates(until, 5 if inside else 2)
    if inside and until - log.clock > 4 * HOUR and rng.random() < 0.5:
        moved = log.clock + (until - log.clock) // 3
        log.add("A02", moved, occurred=moved)
        if rng.random() < 0.15:
            log.add("A12", moved + 30 * MINUTE, occurred=moved)
        log.updates(until, 2)


def _depart_not(log: _Log) -> None:
    """A departure that is entered, corrected and taken back."""
    early = log.clock + log.rng.randint(5, 30) * MINUTE
    early -= early % MINUTE
    log.add("A03", early, occurred=early - HOUR, ended=early - HOUR, disposition="01")
    log.add("A03", early + 2 * MINUTE, occurred=early, ended=early, disposition="01")
    log.add("A13", early + 9 * MINUTE, occurred=early)


def _depart(log: _Log, departed: int) -> None:
    """The departure, with first values that are corrected later, and the final coding."""
    true, rng = log.true, log.rng
    final: tuple[str, ...] | None = true.diagnoses
    if true.course == "reopened":
        early = max(log.clock + 2 * MINUTE, departed - rng.randint(60, 240) * MINUTE)
        if early + 20 * MINUTE < departed:
            early -= early % MINUTE
            log.add("A03", early, occurred=early, ended=early, disposition=rng.choice(("01", "02", "03")))
            log.add("A13", early + 5 * MINUTE, occurred=early)
    first, ended = true.disposition, departed
    if true.course == "disposition corrected":
        first = rng.choice([code for code in ("01", "02", "03", "81", "07") if code != true.disposition])
    if true.course == "departure corrected":
        ended += rng.choice((-2, 3, 20)) * HOUR
    elif true.course == "departure sent again":
        ended += rng.choice((-50, -2, 3, 20, 60)) * HOUR
    coded = true.course != "recoded" and rng.random() < 0.5
    corrected = true.course in ("recoded", "disposition corrected", "departure corrected")
    dropped = (rng.choice(BENIGN), "E119") if true.course == "recoded" else None
    diagnoses = final if coded or not corrected else dropped
    log.add("A03", departed + rng.randint(0, 20) * MINUTE, ended, ended, first, diagnoses)
    if true.course == "departure sent again":
        again = log.clock + rng.randint(5, 50 * 60) * MINUTE
        log.add("A03", again, departed, departed, true.disposition, final)
    if corrected:
        entered = log.clock + rng.randint(30, 100 * 60) * MINUTE
        log.add("A08", entered, None, departed, true.disposition, final)
        if rng.random() < 0.5:
            log.add("A08", log.clock + rng.randint(5, 300) * MINUTE, None, departed, true.disposition)
    elif rng.random() < 0.4:
        log.add("A08", log.clock + rng.randint(5, 90) * MINUTE, None, departed, true.disposition)
