"""Source patients: statements, visits, identity and what is published (docs/semantics.md#the-patient-stage).

Used from outside: `events` (input of the stage), `row` and its folds, `ownership`, `groups`, `publish`.
"""
