"""Settings: nested variables, secrets that stay hidden, every fault at once, one model for both Kafka clients."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from domain.errors import BadDeclaration
from gateway.listener import Keepalive, MllpConfig
from gateway.mllp import Timeouts
from handoff.commands.listen import gateway
from handoff.settings import DEVELOPMENT_KEY, describe, load_settings, variables
from streams.kafka.settings import KafkaSettings

CANARY = "canary-7f3a"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("HANDOFF_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HANDOFF_SECRETS_DIR", str(tmp_path / "absent"))


def faults_of(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadDeclaration) as caught:
        load_settings()
    return list(caught.value.faults)


def test_defaults_are_loopback_and_need_nothing() -> None:
    settings = load_settings()
    assert settings.mllp.is_local
    assert settings.http.is_local
    assert settings.console.is_local
    assert settings.work.chunk_max_records == 2000
    assert settings.paths.topics.is_file()
    assert settings.directory.key() == DEVELOPMENT_KEY


def test_the_environment_reaches_nested_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", "one:9092,two:9092")
    monkeypatch.setenv("HANDOFF_WORK__TICK_SECONDS", "0.5")
    settings = load_settings()
    assert settings.kafka.librdkafka()["bootstrap.servers"] == "one:9092,two:9092"
    assert settings.work.tick_seconds == 0.5


def test_the_listener_is_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gateway(load_settings()).mllp == MllpConfig(patience=Timeouts(limit=512 * 1024))
    names = ("FIRST_BYTE", "FRAME", "MESSAGE", "IDLE", "ANSWER", "PAUSE", "KEEPALIVE_IDLE", "KEEPALIVE_INTERVAL")
    for number, name in enumerate(names, 1):
        monkeypatch.setenv(f"HANDOFF_MLLP__{name}_SECONDS", str(number))
    monkeypatch.setenv("HANDOFF_MLLP__KEEPALIVE_PROBES", "9")
    monkeypatch.setenv("HANDOFF_MLLP__MAX_CONNECTIONS_PER_PEER", "10")
    door = gateway(load_settings()).mllp
    assert door.patience == Timeouts(first_byte=1, frame=2, message=3, idle=4, answer=5, pause=6, limit=512 * 1024)
    assert door.keepalive == Keepalive(idle=7, interval=8, probes=9)
    assert (door.connections, door.connections_per_peer) == (500, 10)


def test_secret_files_are_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "handoff_directory__hash_key").write_text(CANARY)
    (tmp_path / "handoff_http__token").write_text("from the file")
    monkeypatch.setenv("HANDOFF_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("HANDOFF_HTTP__TOKEN", "from the environment")
    settings = load_settings()
    assert settings.directory.key() == CANARY.encode()
    assert settings.http.token == SecretStr("from the environment")


def test_every_fault_at_once_and_no_value_in_any(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = faults_of(
        monkeypatch,
        HANDOFF_KAFKA__BOOTSTAP="typo:9092",
        HANDOFF_KAFAK__BOOTSTRAP="typo:9092",
        HANDOFF_WORK__LINGER_MS="-1",
        HANDOFF_HTTP__HOST="0.0.0.0",
        HANDOFF_MLLP__TLS_CERTIFICATE="/no/such/file",
        HANDOFF_MLLP__PORT=CANARY,
    )
    told = {fault.partition(":")[0] for fault in faults}
    assert told == {
        "HANDOFF_KAFKA__BOOTSTAP",
        "HANDOFF_KAFAK__BOOTSTRAP",
        "HANDOFF_WORK__LINGER_MS",
        "HANDOFF_HTTP",
        "HANDOFF_MLLP__PORT",
    }
    assert len(faults) == len(set(faults))
    assert CANARY not in "".join(faults)


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({"HANDOFF_CONSOLE__HOST": "0.0.0.0"}, "token"),
        ({"HANDOFF_MLLP__TLS_KEY": __file__}, "go together"),
        ({"HANDOFF_MLLP__TLS_KEY": __file__, "HANDOFF_MLLP__TLS_CERTIFICATE": "/no/such"}, "no such file"),
        ({"HANDOFF_MLLP__TLS_CLIENT_CA": __file__}, "needs tls_certificate"),
        ({"HANDOFF_WORK__TRANSACTION_TIMEOUT_MS": "9000"}, "above session_timeout_ms"),
        ({"HANDOFF_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}, "sasl_username"),
        ({"HANDOFF_KAFKA__SASL_MECHANISM": "PLAIN"}, "no effect"),
        ({"HANDOFF_KAFKA__SSL_KEY_LOCATION": "k"}, "go together"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    environment: dict[str, str], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(part in fault for fault in faults_of(monkeypatch, **environment))


def test_unknown_senders_are_taken_or_refused_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().mllp.unknown_senders == "take"
    (fault,) = faults_of(monkeypatch, HANDOFF_MLLP__UNKNOWN_SENDERS="ignore")
    assert fault.startswith("HANDOFF_MLLP__UNKNOWN_SENDERS: ")


def test_production_tolerates_no_development_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = faults_of(monkeypatch, HANDOFF_ENVIRONMENT="prod", HANDOFF_MLLP__HOST="0.0.0.0")
    assert [fault.partition(":")[0] for fault in faults] == [
        "HANDOFF_MLLP__TLS_CERTIFICATE",
        "HANDOFF_DIRECTORY__HASH_KEY",
        "HANDOFF_KAFKA__BOOTSTRAP",
        "HANDOFF_REDIS__URL",
    ]
    monkeypatch.setenv("HANDOFF_MLLP__PLAINTEXT", "true")
    monkeypatch.setenv("HANDOFF_DIRECTORY__HASH_KEY", CANARY)
    monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", "kafka:9092")
    monkeypatch.setenv("HANDOFF_REDIS__URL", "redis://redis:6379/0")
    assert load_settings().environment == "prod"


def test_the_description_covers_every_setting_and_hides_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOFF_REDIS__URL", f"redis://:{CANARY}@redis:6379/0")
    monkeypatch.setenv("HANDOFF_DIRECTORY__HASH_KEY", CANARY)
    settings = load_settings()
    told = describe(settings)
    assert len(told) == len(list(variables())) > 40
    assert told["HANDOFF_REDIS__URL"] == "(set, hidden)"
    assert told["HANDOFF_HTTP__TOKEN"] == ""
    assert CANARY not in str(told)
    assert CANARY not in repr(settings)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_both_kafka_clients_get_the_same_connection(protocol: str, mechanism: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    login = {"sasl_mechanism": mechanism, "sasl_username": "u", "sasl_password": "p"}
    kafka = KafkaSettings.model_validate(
        {
            "bootstrap": "one:9092, two:9093",
            "security_protocol": protocol,
            "ssl_ca_location": str(tmp_path / "ca.pem") if protocol.endswith("SSL") else None,
            **(login if protocol.startswith("SASL") else {}),
        }
    )
    ours, fausts = kafka.librdkafka(), kafka.faust()
    assert fausts["broker"] == ["kafka://one:9092", "kafka://two:9093"]
    credentials = fausts.get("broker_credentials")
    assert (credentials.protocol.value if credentials else "PLAINTEXT") == ours["security.protocol"]
    if protocol.startswith("SASL"):
        assert (credentials.mechanism.value, credentials.username, credentials.password) == (
            ours["sasl.mechanism"],
            ours["sasl.username"],
            ours["sasl.password"],
        )
    if protocol.endswith("SSL"):
        context = credentials.context if protocol == "SSL" else credentials.ssl_context
        assert len(context.get_ca_certs()) == 1
