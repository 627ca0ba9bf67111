"""The meaning of facts: pure functions over values, without I/O and clock.

`patient` and `member` are the two stages; they share the other modules of `__all__`.
"""

__all__ = [
    "discharge",
    "errors",
    "facilities",
    "identity",
    "member",
    "patient",
    "rules",
    "snapshots",
    "times",
]
