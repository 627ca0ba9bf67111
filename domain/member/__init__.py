"""The member half of the domain: what the visits of all source patients of one member add up to
(docs/semantics.md#the-member-stage). Used by the member stage and the formats of its records alone.

`visits`, `dedup` and `episodes` say which visits are one; `counting`, `releases`, `transitions` and `utilization` what
they amount to; `criteria`, `eligibility` and `candidates` decide; `row` and its folds keep, `archive` moves old visits.
"""

__all__ = [
    "archive",
    "candidates",
    "counting",
    "eligibility",
    "evidence",
    "row",
    "transitions",
    "utilization",
    "visits",
]
