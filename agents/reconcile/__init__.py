"""The patient stage: one row per source patient (docs/semantics.md#the-patient-stage)."""

from agents.reconcile.decide import stage

__all__ = ["stage"]
