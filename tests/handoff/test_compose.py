"""The compose file and the image agree with the settings, the topics and the package (no Docker needed to know)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from handoff.declarations.rules import load_rules
from handoff.declarations.senders import load_senders
from handoff.settings import Settings, load_settings, variable_of, variables
from streams.topics import load_topics

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("handoff")}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


HELPERS = {"tokens", "topics"}
"""Services that run once."""
WORKERS = {"reconcile", "reconcile-1", "refer", "refer-1"}


def in_container(name: str, secrets: Path) -> dict[str, str]:
    """The service's environment, with the paths of its mounts as they are on this machine."""
    mounts = {}
    for volume in OURS[name]["volumes"]:
        here, there = volume.split(":")[:2]
        mounts[there] = str(secrets) if here == "secrets" else str(ROOT / here)
        assert here == "secrets" or (ROOT / here).exists()
    return {variable: mounts.get(value, value) for variable, value in OURS[name]["environment"].items()}


def choose_tokens(secrets: Path) -> None:
    """Run the step of the service `tokens`, as its container would."""
    service = SERVICES["tokens"]
    program, *words = [*service["entrypoint"], *service["command"]]
    assert program == "python"
    subprocess.run([sys.executable, *words], check=True, env={**os.environ, **in_container("tokens", secrets)})


def test_one_service_builds_the_image_and_no_other_asks_a_registry_for_it() -> None:
    policies = {name: service["pull_policy"] for name, service in OURS.items()}
    assert policies == {name: "build" if name == "tokens" else "never" for name in OURS}
    assert [name for name, service in SERVICES.items() if "build" in service] == ["tokens"]


def test_tokens_are_chosen_once_and_for_their_owner_only(tmp_path: Path) -> None:
    (tmp_path / "handoff_http__token").write_text("my own")
    for _ in range(2):
        choose_tokens(tmp_path)
        kept = (tmp_path / "handoff_console__token").read_text()
    choose_tokens(tmp_path)
    assert (tmp_path / "handoff_http__token").read_text() == "my own"
    assert (tmp_path / "handoff_console__token").read_text() == kept
    assert len(kept) >= 24
    assert (tmp_path / "handoff_console__token").stat().st_mode & 0o777 == 0o600
    folder = SERVICES["tokens"]["environment"]["HANDOFF_SECRETS_DIR"]
    assert re.search(rf"install -d -m 0700 -o (\d+) .*{folder}", DOCKERFILE)


def test_no_two_workers_share_a_slot_and_none_can_be_scaled_onto_one() -> None:
    commands = [tuple(SERVICES[name]["command"]) for name in sorted(WORKERS)]
    assert len(set(commands)) == len(WORKERS)
    for name in WORKERS:
        stage, _, slot = name.partition("-")
        assert SERVICES[name]["command"] == ["work", "--stage", stage, "--slot", slot or "0"]
        assert SERVICES[name]["container_name"] == f"handoff-{stage}-{slot or 0}"
        assert SERVICES[name].get("profiles", []) == (["more"] if slot else [])


def test_a_service_that_refuses_its_settings_stays_and_says_so_and_others_pass_their_code() -> None:
    """As the container runs it: the entrypoint of every service that is started again."""
    running = [name for name in OURS if OURS[name]["restart"] == "unless-stopped"]
    assert {tuple(OURS[name]["entrypoint"]) for name in running} == {("python", "-m", "handoff.container")}
    assert set(running) == OURS.keys() - HELPERS

    def started(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "handoff.container", *words],
            env={**os.environ, "HANDOFF_KAFKA__BOOTSTRAP": ""},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )

    with started("listen") as refused:
        assert refused.stderr is not None
        lines = []
        while "does not start again" not in (line := refused.stderr.readline()):
            assert line, "it has ended"
            lines.append(line)
        assert any("HANDOFF_KAFKA__BOOTSTRAP" in line for line in lines)
        assert refused.poll() is None
        refused.send_signal(signal.SIGTERM)
        assert refused.wait(20) == 2
    with started("--help") as done:
        assert done.wait(60) == 0


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
    assert used <= known | {"HANDOFF_SECRETS_DIR"}
    assert "${" not in json.dumps(COMPOSE), "`docker compose up` works without a variable"


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_service_starts_with_settings_that_hold(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The settings of the service, after the step that chooses the tokens, on the files that it mounts."""
    for variable, value in in_container(name, tmp_path).items():
        monkeypatch.setenv(variable, value)
    choose_tokens(tmp_path)
    settings = load_settings()
    assert settings.http.token is not None
    assert settings.console.token is not None
    load_senders(settings.paths.senders)
    load_rules(settings.paths.rules)
    load_topics(settings.paths.topics)
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
    assert SERVICES["topics"]["depends_on"]["kafka"] == {"condition": "service_healthy"}
    assert SERVICES["topics"]["depends_on"]["tokens"] == {"condition": "service_completed_successfully"}
    assert not SERVICES["tokens"]["depends_on"]
    for name in OURS.keys() - HELPERS:
        assert SERVICES[name]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
    assert OURS.keys() == {*HELPERS, *WORKERS, "listen", "directory", "console"}


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
