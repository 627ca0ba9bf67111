"""The connection to Kafka: one model that makes the librdkafka configuration."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

T = TypeVar("T", bound=msgspec.Struct)


class KafkaSettings(BaseModel):
    """Address, protocol and credentials of the cluster (`HANDOFF_KAFKA__*`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: str | None = None
    ssl_certificate_location: str | None = None
    ssl_key_location: str | None = None
    topics: dict[str, str] = {}
    """Declared names of topics that were moved to another version -> what the cluster calls them. Everything speaks of
    topics by their declared names; `actual` and `declared` translate where a client is called."""

    def actual(self, topic: str) -> str:
        """What the cluster calls a declared topic."""
        return self.topics.get(topic, topic)

    def declared(self, topic: str) -> str:
        """The declared name of a topic of the cluster."""
        return next((name for name, actual in self.topics.items() if actual == topic), topic)

    def actual_all(self, topics: T) -> T:
        """A Struct whose fields are declared topics, as the cluster calls them."""
        return type(topics)(**{field: self.actual(topic) for field, topic in msgspec.structs.asdict(topics).items()})

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Reject incomplete SASL and TLS settings at start-up."""
        missing = [
            name
            for name in ("sasl_mechanism", "sasl_username", "sasl_password")
            if self.security_protocol.startswith("SASL") and not getattr(self, name)
        ]
        if missing:
            raise ValueError(f"{self.security_protocol} needs {', '.join(missing)}")
        if self.sasl_mechanism and not self.security_protocol.startswith("SASL"):
            raise ValueError(f"sasl_mechanism has no effect with {self.security_protocol}")
        if (self.ssl_certificate_location is None) != (self.ssl_key_location is None):
            raise ValueError("ssl_certificate_location and ssl_key_location go together")
        return self

    def librdkafka(self) -> dict[str, Any]:
        """The connection part of a librdkafka configuration; callers add what their client needs."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol,
            "client.id": "handoff",
        }
        if self.security_protocol.startswith("SASL"):
            config["sasl.mechanism"] = self.sasl_mechanism or ""
            config["sasl.username"] = self.sasl_username or ""
            config["sasl.password"] = self.sasl_password.get_secret_value() if self.sasl_password else ""
        for key, value in (
            ("ssl.ca.location", self.ssl_ca_location),
            ("ssl.certificate.location", self.ssl_certificate_location),
            ("ssl.key.location", self.ssl_key_location),
        ):
            if value:
                config[key] = value
        return config


def producer_config(kafka: KafkaSettings, **more: Any) -> dict[str, Any]:
    """An idempotent `acks=all` producer with the partitioner that Java, aiokafka and we agree on (murmur2)."""
    return {
        **kafka.librdkafka(),
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "compression.type": "lz4",
        **more,
    }
