"""The stages as the settings describe them: live, under moved topics, or as a shadow; and the engine's options."""

from __future__ import annotations

from enum import StrEnum

from agents import reconcile, refer
from agents.graph import RECONCILE, STAGES
from agents.runtime.contract import Stage
from agents.runtime.rename import renamed
from agents.shadow import shadowed
from domain.errors import BadDeclaration
from handoff.declarations.rules import load_rules
from handoff.declarations.senders import load_senders
from handoff.settings import Settings
from streams.engine.options import EngineOptions
from streams.shadow import check_name, has_visits

StageName = StrEnum("StageName", [(stage.name, stage.name) for stage in STAGES])  # type: ignore[misc]
"""The stages, in order of flow."""


def build(stage: str, settings: Settings) -> Stage:
    """A stage with the declarations that the settings name, over the topics as the cluster calls them.

    Raises BadDeclaration.
    """
    return renamed(build_declared(stage, settings), settings.kafka.topics)


def as_shadow(stage: str, name: str, settings: Settings) -> Stage:
    """The shadow `name` of a stage; it reads the shadow's own visits when the shadow has a patient stage.

    Raises BadDeclaration, also for a name that is none.
    """
    check_name(name)
    built = build_declared(stage, settings, f"handoff/shadow/{name}")
    return shadowed(built, name, settings.kafka.topics, visits=has_visits(settings.kafka, name))


def build_declared(stage: str, settings: Settings, source: str = "handoff") -> Stage:
    """A stage over the topics by their declared names. Raises BadDeclaration."""
    if stage == RECONCILE.name:
        return reconcile.stage(load_senders(settings.paths.senders), key=settings.directory.key())
    return refer.stage(load_rules(settings.paths.rules), source=source)


def options(settings: Settings) -> EngineOptions:
    """The engine's options from the settings. Raises BadDeclaration.

    Rows on disk without a folder are a fault here and not in the settings: `handoff up` gives its workers a folder.
    """
    work = settings.work
    if work.rows == "disk" and work.checkpoints is None:
        raise BadDeclaration(("HANDOFF_WORK__CHECKPOINTS: rows on disk need a local folder",))
    return EngineOptions(
        max_records=work.chunk_max_records,
        linger=work.linger_ms / 1000,
        session=work.session_timeout_ms / 1000,
        transaction=work.transaction_timeout_ms / 1000,
        tick_every=work.tick_seconds,
        checkpoint_folder=None if work.checkpoints is None else str(work.checkpoints),
        checkpoint_every=work.checkpoint_seconds,
        rows=work.rows,
        rows_cache=work.rows_cache_mib * 1024 * 1024,
        health_host=settings.health.host,
        health_port=settings.health.port,
    )
