"""The surface of each package: what `__all__` names exists, and an import contract protects the other modules."""

from __future__ import annotations

import importlib
import pkgutil
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SURFACES = (
    "agents.reconcile",
    "agents.refer",
    "agents.runtime",
    "console",
    "domain",
    "domain.member",
    "domain.patient",
    "domain.rules",
    "gateway",
    "parsers.hl7",
    "streams.engine",
    "streams.kafka",
    "streams.topics",
)
BY_MODULE = ("console", "domain.patient", "gateway", "parsers.hl7", "streams.engine")
"""Packages whose `__all__` names modules; no other package may import the rest of them."""


@pytest.mark.parametrize("name", SURFACES)
def test_the_surface_of_a_package_exists(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__all__
    for each in package.__all__:
        if not hasattr(package, each):
            importlib.import_module(f"{name}.{each}")


@pytest.mark.parametrize("name", BY_MODULE)
def test_a_module_is_named_by_its_package_or_protected(name: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    protected = {module for contract in contracts for module in contract.get("protected_modules", ())}
    package = importlib.import_module(name)
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert {module for module in modules if f"{name}.{module}" in protected} == modules - set(package.__all__)
