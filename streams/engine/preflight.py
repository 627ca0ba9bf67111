"""What must be true of the cluster before a stage may run on it."""

from __future__ import annotations

from agents.runtime.contract import Stage
from streams.kafka.settings import KafkaSettings
from streams.topics import check_topics


def faults_of_topics(stage: Stage, kafka: KafkaSettings, *, seconds: float) -> list[str]:
    """Everything wrong with the stage's topics, in words; empty when it may start. Raises KafkaException.

    Inputs are stamped by the broker: how far ahead of its time a record claims to be is judged by that stamp.
    """
    together = dict.fromkeys((*stage.inputs, stage.changelog, *((stage.clock,) if stage.ticks else ())))
    return check_topics(
        kafka,
        (*stage.outputs, stage.dead_letters),
        [together],
        compacted=[stage.changelog],
        append_time=stage.inputs,
        seconds=seconds,
    )
