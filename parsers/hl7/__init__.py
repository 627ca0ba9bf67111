"""HL7 v2: encoding, framing, acknowledgments and ADT messages.

Others import only the modules in `__all__`; `handoff profile`, which looks at single segments, also `mrg`, `pid`,
`places` and `timestamps`. Every refusal code is in `refusals`.
"""

__all__ = [
    "ack",
    "adt",
    "batch",
    "charsets",
    "dialects",
    "encoding",
    "envelope",
    "frames",
    "mllp",
    "origin",
    "profiles",
    "refusals",
]
