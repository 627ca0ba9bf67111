"""What must be true of the cluster before a stage may run on it."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient, ConfigResource

from agents.stage import Stage
from streams.clients import KafkaSettings


def faults_of_topics(stage: Stage, kafka: KafkaSettings, *, seconds: float) -> list[str]:
    """Everything wrong with the stage's topics, in words; empty when it may start. Raises KafkaException."""
    admin = AdminClient({**kafka.librdkafka(), "log_level": 0})
    known = admin.list_topics(timeout=seconds).topics
    together = [*stage.inputs, stage.changelog]
    if stage.ticks and stage.clock not in together:
        together.append(stage.clock)
    missing = [name for name in (*together, *stage.outputs, stage.dead_letters) if name not in known]
    if missing:
        return [f"topic {name} does not exist" for name in missing]
    counts = {name: len(known[name].partitions) for name in together}
    faults = []
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        faults.append(f"topics of stage {stage.name} must have the same number of partitions: {listed}")
    resource = ConfigResource(ConfigResource.Type.TOPIC, stage.changelog)
    config = admin.describe_configs([resource])[resource].result(timeout=seconds)
    policy = config["cleanup.policy"].value
    if policy != "compact":
        faults.append(f"changelog {stage.changelog} must have cleanup.policy compact, not {policy}")
    return faults
