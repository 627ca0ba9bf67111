"""The meaning of facts: pure functions over values, without I/O and clock.

`patient` and `member` are the two stages; they share `snapshots`, `times`, `discharge`, `facilities`, `identity`,
`errors`.
"""
