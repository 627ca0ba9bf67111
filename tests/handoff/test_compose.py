"""The compose file and the image agree with the settings, the topics and the package (no Docker needed to know)."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from handoff.settings import Settings, load_settings, variable_of, variables
from streams.topics import load_topics

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("handoff")}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def compose_schema() -> dict[str, Any]:
    """The compose specification's schema, out of check-jsonschema's package."""
    spec = find_spec("check_jsonschema")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    schema: dict[str, Any] = json.loads((folder / "builtin_schemas/vendor/compose-spec.json").read_text())
    return schema


def test_the_file_keeps_to_the_compose_specification() -> None:
    validator = jsonschema.Draft7Validator(compose_schema())
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    broken = {**COMPOSE, "services": {"kafka": {"image": "x", "healthcheck": {"tests": []}}}}
    assert list(validator.iter_errors(broken))


def test_every_port_is_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == 4
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)


def test_every_variable_is_a_setting() -> None:
    known = {variable_of(place) for place in variables()}
    used = {name for service in OURS.values() for name in service["environment"]}
    assert used
    assert used <= known
    interpolated = set(re.findall(r"\$\{(HANDOFF_\w+)", json.dumps(COMPOSE)))
    assert interpolated <= known


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_service_starts_with_settings_that_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in OURS[name]["environment"].items():
        monkeypatch.setenv(variable, "a token" if value.startswith("${") else value)
    settings = load_settings()
    kafka = SERVICES["kafka"]["environment"]
    assert f"INSIDE://{settings.kafka.bootstrap}" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert f"127.0.0.1:{settings.health.port}/readyz" in json.dumps(OURS["refer"]["healthcheck"])
    inside = {int(port.rpartition(":")[2]) for port in OURS[name].get("ports", ())}
    assert inside <= {settings.mllp.port, settings.http.port, settings.console.port}


def test_the_broker_can_hold_the_declared_topics() -> None:
    environment = OURS["topics"]["environment"]["HANDOFF_ENVIRONMENT"]
    topics = load_topics(ROOT / "topics.yaml").for_environment(environment)
    assert {topic.replication for topic in topics} == {1}
    kafka = SERVICES["kafka"]["environment"]
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert kafka["KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR"] == "1"


def test_work_begins_after_the_topics_and_they_after_kafka() -> None:
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    for name in OURS.keys() - {"topics"}:
        assert SERVICES[name]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
    assert OURS.keys() == {"topics", "listen", "reconcile", "refer", "directory", "console"}


def test_a_stop_outlasts_a_transaction() -> None:
    longest = Settings.model_fields["work"].default.transaction_timeout_ms / 1000
    for service in OURS.values():
        assert float(service["stop_grace_period"].removesuffix("s")) > longest


def test_the_image_holds_all_packages_and_runs_as_nobody() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    sources = set(wheel["packages"]) | {path.split("/")[0] for path in wheel["force-include"]}
    assert sources <= let_in
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!0\b|root)\d+", final, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in final
    exposed = set(re.findall(r"^EXPOSE (.*)$", final, re.MULTILINE)[0].split())
    defaults = load_settings()
    health = re.findall(r"HANDOFF_HEALTH__PORT=([0-9]+)", final)
    assert exposed == {str(section.port) for section in (defaults.mllp, defaults.http, defaults.console)} | set(health)
    assert health == [OURS["listen"]["environment"]["HANDOFF_HEALTH__PORT"]]
