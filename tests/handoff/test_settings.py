"""Settings: nested variables, secrets that stay hidden, every fault at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from console.config import ConsoleConfig
from domain.errors import BadDeclaration
from gateway.config import FolderConfig, GatewayConfig, HttpConfig, Keepalive, MllpConfig, Timeouts
from handoff.commands.console import config
from handoff.commands.listen import gateway
from handoff.settings import Settings, describe, load_settings, variable_of, variables
from handoff.stages import options
from streams.engine.options import EngineOptions

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


def test_the_environment_reaches_nested_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", "one:9092,two:9092")
    monkeypatch.setenv("HANDOFF_WORK__TICK_SECONDS", "0.5")
    settings = load_settings()
    assert settings.kafka.librdkafka()["bootstrap.servers"] == "one:9092,two:9092"
    assert settings.work.tick_seconds == 0.5


def test_the_listener_is_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gateway(load_settings()).mllp == MllpConfig()
    names = ("FIRST_BYTE", "FRAME", "MESSAGE", "IDLE", "ANSWER", "PAUSE", "KEEPALIVE_IDLE", "KEEPALIVE_INTERVAL")
    for number, name in enumerate(names, 1):
        monkeypatch.setenv(f"HANDOFF_MLLP__{name}_SECONDS", str(number))
    monkeypatch.setenv("HANDOFF_MLLP__KEEPALIVE_PROBES", "9")
    monkeypatch.setenv("HANDOFF_MLLP__MAX_CONNECTIONS_PER_PEER", "10")
    config = gateway(load_settings()).mllp
    assert config.timeouts == Timeouts(first_byte=1, frame=2, message=3, idle=4, answer=5, pause=6)
    assert config.keepalive == Keepalive(idle=7, interval=8, probes=9)
    assert (config.connections, config.connections_per_peer) == (500, 10)


def test_defaults_of_the_settings_are_those_of_the_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HANDOFF_HTTP__TOKEN", "t")
    monkeypatch.setenv("HANDOFF_FOLDER__PATH", str(tmp_path))
    settings = load_settings()
    built = gateway(settings)
    assert built == GatewayConfig(http=HttpConfig("t"), folder=FolderConfig(tmp_path))
    assert config(settings) == ConsoleConfig()
    assert options(settings) == EngineOptions(health_port=0)


def test_every_setting_is_read(tmp_path: Path) -> None:
    """Each one changes what some process is built from, or the code outside the settings names it."""
    files = {name: tmp_path / name for name in ("one", "two")}
    for path in files.values():
        path.mkdir()
        (path / "pem").write_text("")
    one, two = ({"folder": path, "pem": path / "pem"} for path in files.values())
    full = {
        "kafka": {
            "bootstrap": "k:9092",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "u",
            "sasl_password": "p",
            "ssl_certificate_location": "c",
            "ssl_key_location": "k",
        },
        **{
            section: {"tls_certificate": one["pem"], "tls_key": one["pem"], "tls_client_ca": one["pem"]}
            for section in ("mllp", "http", "console")
        },
        "folder": {"path": one["folder"]},
        "work": {"checkpoints": one["folder"]},
    }

    def changed(place: tuple[str, ...]) -> Settings:
        section, name = place
        before = getattr(getattr(Settings(**full), section), name)
        return Settings(**{**full, section: {**full.get(section, {}), name: other(before, place, two)}})

    code = "".join(
        path.read_text()
        for room in ("handoff", "streams", "gateway", "console")
        for path in (Path(__file__).parents[2] / room).rglob("*.py")
        if path.name != "settings.py"
    )
    read_as = {("directory", "hash_key"): ("directory", "key")}
    base = effect(Settings(**full))
    unread = [
        variable_of(place)
        for place in variables()
        if not re.search(rf"settings\.{re.escape('.'.join(read_as.get(place, place)))}\b", code)
        and effect(changed(place)) == base
    ]
    assert unread == ["HANDOFF_MLLP__PLAINTEXT"], "which permits an unencrypted listener in prod, tested below"


def effect(settings: Settings) -> tuple[object, ...]:
    """What processes are built from."""
    return gateway(settings), config(settings), options(settings), settings.kafka.librdkafka()


def other(value: object, place: tuple[str, ...], paths: dict[str, Path]) -> object:
    """Another valid value of a setting."""
    choices = {
        ("kafka", "security_protocol"): "SASL_PLAINTEXT",
        ("kafka", "sasl_mechanism"): "SCRAM-SHA-256",
        ("kafka", "topics"): {"adt.raw.v1": "adt.raw.v2"},
        ("folder", "path"): paths["folder"],
        ("work", "checkpoints"): paths["folder"],
        ("work", "rows"): "disk",
        ("work", "rows_cache_mib"): 1,
        ("mllp", "unknown_senders"): "refuse",
    }
    if place in choices:
        return choices[place]
    if place[1].endswith("host"):
        return "localhost"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value / 2 if isinstance(value, float) else value + (-1 if value > 1 else 1)
    return paths["pem"] if isinstance(value, Path) else "other"


def test_secret_files_are_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "handoff_console__token").write_text(CANARY)
    (tmp_path / "handoff_http__token").write_text("from the file")
    monkeypatch.setenv("HANDOFF_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("HANDOFF_HTTP__TOKEN", "from the environment")
    settings = load_settings()
    assert settings.console.token == SecretStr(CANARY)
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
    monkeypatch.setenv("HANDOFF_CONSOLE__TOKEN", CANARY)
    monkeypatch.setenv("HANDOFF_DIRECTORY__HASH_KEY", CANARY)
    settings = load_settings()
    told = describe(settings)
    assert len(told) == len(list(variables())) > 40
    assert told["HANDOFF_REDIS__URL"] == "(set, hidden)"
    assert told["HANDOFF_HTTP__TOKEN"] == ""
    assert CANARY not in str(told)
    assert CANARY not in repr(settings)
