"""The member stage: one row per member (docs/semantics.md#the-member-stage)."""

from agents.refer.decide import stage

__all__ = ["stage"]
