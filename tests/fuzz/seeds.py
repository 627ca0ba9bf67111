"""What mutation starts from: invented messages of every kind, rows and times, and the corpus where it is at hand."""

from __future__ import annotations

from itertools import pairwise

from parsers.hl7.mllp import frame
from tests.parsers.writing import adt
from tests.support.corpus import as_sent, corpus_or

INVENTED = [
    *(adt(f"A{number:02d}") for number in range(1, 63)),
    adt("A01", "DG1|1||I10", "IN1|1" + "|" * 35 + "91234567A", pid={11: "1 ELM^^ARROYO^CA^90012", 13: "5555550100"}),
    adt("A03", pv1={14: "5", 36: "03", 44: "20261122", 45: "202611231000-0800"}, evn={6: "20261123095500.25"}),
    adt("A06", "MRG|100||||V0", pid={29: "20261123", 30: "Y"}, pv1={36: "01", 44: "20261122", 45: "20261123"}),
    adt("A08", "OBX|1|CE|HOMELESS^x||Y", "ZPV|1||||Y", "ZFA|1|||BAY^x", pv1={3: "3W^1^A^GEN", 18: "OBS", 39: "BAY"}),
    adt("A17", "PV1|1|I", "PID|2||200^^^OTHER^MR", "PV1|2|I"),
    adt("A24", "PID|2||200^^^OTHER^MR", pv1=None),
    adt("A37", "PID|2||200^^^OTHER^MR", pv1=None),
    adt("A40", "MRG|200^^^GEN^MR||A7||V9", "PID|2||101", "MRG|201", pv1=None),
    adt("A45", "MRG|200^^^GEN^MR||||V9^^^X", "PID|2||101", "MRG|201|||||V8"),
    adt(pid={3: "100^^^GEN^MR~91234567A^^^MEDI-CAL^MA~900990100^^^USSSA^SS", 5: '""', 8: '""'}, pv1={19: "", 36: '""'}),
    adt(pid={5: "O\\S\\NEIL^\\XC3A9\\^\\.br\\"}, msh={7: "20261123130000.1234-0500", 13: "7", 15: "AL", 16: "NE"}),
    adt(pid={5: "MUÑOZ^ANA"}, msh={18: "8859/1"}).decode().encode("latin-1"),
    adt(msh={2: "^~\\&#", 12: "2.9"}, evn=None, pv1={19: "", 50: "B1"}),
    adt().replace(b"\r", b"\n"),
    adt().replace(b"\r", b"\r\n"),
    adt().translate(bytes.maketrans(b"|^~\\&", b"$*%@!")),
]
ROWS = [
    b"member_id,cin,birth_date,identifiers,programmes,ecm_status,ecm_from\n"
    b"M1,91234567A,1980-01-02,GEN|100;BAY|7,ecm:2026-01-01:2026-06-30:unverified,enrolled,2026-01-01\n"
    b'"M2",,01/02/1980,,,,\n',
    b'{"member_id": "M1", "birth_date": "19800102", "identifiers": [{"authority": "GEN", "number": "100"}], '
    b'"programmes": [{"id": "x", "from": "2026-01-01", "verified": false}], "ecm": {"status": "enrolled"}}\n',
    b"record_id,kind,facility,facility_type,occurred,scheduled,cin,identifiers\n"
    b"R1,released,COUNTYJAIL,jail,2026-11-23T10:00:00-08:00,,91234567A,COUNTYJAIL|7\n"
    b"R2,scheduled,COUNTYJAIL,jail,,2026-11-23 10:00,,COUNTYJAIL|8\nR3,deleted,,,,,,COUNTYJAIL|9\n",
    b'{"record_id": "R1", "kind": "booked", "occurred": "20261123", "identifiers": ["COUNTYJAIL|7"], "source": "x"}\n',
]
TIMES = [
    b"20261123101530.1234-0800", b"2026", b"202611", b"20261123", b"2026112310", b"202611231015", b"20261101013000",
    b"20260308023000", b"2026-11-23T10:15:30.5Z", b"2026/11/23 10:15", b"20261123240000", b"20261123101560",
    b"20261123101530+04:00", b"99991231235959", b"00010101", b"20261123101530 PST", b"01/15/2026",
]  # fmt: skip


def messages() -> list[bytes]:
    """The corpus, each message as its sender would put it on the wire, then the invented ones."""
    return [as_sent(text) for text in corpus_or([])] + INVENTED


def streams() -> list[bytes]:
    """Two frames to a stream, and some that keep no rule."""
    pairs = [frame(one) + frame(two) for one, two in pairwise(INVENTED)]
    return [*pairs[::8], b"\r\n\x00" + frame(b"one") + b"junk\x1c\r" + b"\x0btwo\x1c\x0bthree\x1c", b"\x0b\x1c\r\x0b"]


def batches() -> list[bytes]:
    """Files of several messages."""
    joined = b"\r".join(INVENTED[:3])
    return [joined, b"FHS|^~\\&|X\rBHS|^~\\&|X\r" + joined + b"\rBTS|3\rFTS|1\r", b"\xef\xbb\xbfPID|1\r" + joined]
