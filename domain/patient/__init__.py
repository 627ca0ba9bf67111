"""Source patients: statements, visits, identity and what is published (docs/semantics.md#the-patient-stage).

Others import only the modules in `__all__`: `events` is the input of the stage, `fold` adds a record to a `row`,
`facts`, `ownership` and `groups` resolve the member, `publish` derives the snapshots.
"""

__all__ = ["current", "demographics", "events", "facts", "fold", "groups", "ownership", "publish", "row", "statements"]
