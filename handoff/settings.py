"""Every setting, from the environment (`HANDOFF_SECTION__NAME`) or from secret files of the same names in lower case.

Secret files are read from HANDOFF_SECRETS_DIR, else /run/secrets where that exists: `handoff_kafka__sasl_password`.
The environment wins. `load_settings()` reports everything that is wrong at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NestedSecretsSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from domain.errors import BadDeclaration
from handoff.sections import (
    ConsoleSettings,
    DirectorySettings,
    FolderSettings,
    HealthSettings,
    HttpSettings,
    MllpSettings,
    PathSettings,
    RedisSettings,
    RosterSettings,
    WorkSettings,
)
from streams.kafka.settings import KafkaSettings

PREFIX: Final = "HANDOFF_"


class Settings(BaseSettings):
    """All settings. `environment` selects the block of topics.yaml; `prod` accepts no development defaults."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    environment: Literal["dev", "prod"] = "dev"
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    mllp: MllpSettings = MllpSettings()
    http: HttpSettings = HttpSettings()
    folder: FolderSettings = FolderSettings()
    console: ConsoleSettings = ConsoleSettings()
    health: HealthSettings = HealthSettings()
    work: WorkSettings = WorkSettings()
    directory: DirectorySettings = DirectorySettings()
    roster: RosterSettings = RosterSettings()
    paths: PathSettings = Field(default_factory=PathSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, dotenv_settings
        folder = Path(os.environ.get("HANDOFF_SECRETS_DIR", "/run/secrets"))
        if not folder.is_dir():
            return init_settings, env_settings
        secrets = NestedSecretsSettingsSource(
            file_secret_settings, secrets_dir=folder, secrets_prefix=PREFIX, secrets_nested_delimiter="__"
        )
        return init_settings, env_settings, secrets


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process. `overrides` replace whole sections or fields by name.

    Raises BadDeclaration with every fault; no fault shows a value.
    """
    faults = list(_unknown_variables())
    settings: Settings | None = None
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        faults += [f"{variable_of(item['loc'])}: {_wording(item['type'], item['msg'])}" for item in error.errors()]
    if settings is not None:
        faults += _faults_across(settings)
    if faults or settings is None:
        raise BadDeclaration(tuple(dict.fromkeys(faults)))
    return settings


def _wording(kind: str, message: str) -> str:
    return "no such setting" if kind == "extra_forbidden" else message.removeprefix("Value error, ")


def variable_of(place: tuple[int | str, ...]) -> str:
    """The environment variable of a field: ("kafka", "bootstrap") is HANDOFF_KAFKA__BOOTSTRAP."""
    return PREFIX + "__".join(str(part) for part in place).upper()


def variables(model: type[BaseModel] = Settings, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The place of every single setting."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from variables(annotation, (*place, name))
        else:
            yield (*place, name)


def describe(settings: Settings) -> dict[str, str]:
    """Every setting by its variable, as text for people; of a secret, only whether it is set."""
    described: dict[str, str] = {}
    for place in variables():
        value: Any = settings
        for part in place:
            value = getattr(value, part)
        if isinstance(value, SecretStr):
            value = "(set, hidden)" if value.get_secret_value() else ""
        described[variable_of(place)] = "" if value is None else str(value)
    return described


def _unknown_variables() -> Iterator[str]:
    """Misspelled variables, which would otherwise be ignored, and defaults used in their place.

    Names without a section (HANDOFF_CACHE, HANDOFF_DATA) belong to their readers.
    """
    known = {variable_of(place) for place in variables()}
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and "__" in name and name.upper() not in known:
            yield f"{name}: no such setting"


def _faults_across(settings: Settings) -> Iterator[str]:
    """Faults of the combination: settings that prod requires and that are missing."""
    if settings.environment != "prod":
        return
    if not settings.mllp.is_local and settings.mllp.tls_certificate is None and not settings.mllp.plaintext:
        yield "HANDOFF_MLLP__TLS_CERTIFICATE: prod needs TLS, or PLAINTEXT=true where the network is encrypted"
    if settings.directory.hash_key is None:
        yield "HANDOFF_DIRECTORY__HASH_KEY: prod needs one"
    if not settings.kafka.bootstrap:
        yield "HANDOFF_KAFKA__BOOTSTRAP: prod needs one"
    if not settings.redis.url.get_secret_value():
        yield "HANDOFF_REDIS__URL: prod needs one"
