"""Adds up what the crash tests checked; the total is the last line of the run, and decides its exit code."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from tests.support import counted
from tests.support.tally import Tally

PROPERTY = "crash tally"
TOTAL = pytest.StashKey[Tally]()


@pytest.fixture(autouse=True)
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """What this test checked. Travels with its report, so that it arrives from workers of xdist as well."""
    mine = counted.tallied = Tally()
    yield mine
    request.node.user_properties.append((PROPERTY, msgspec.to_builtins(mine)))


class Adding:
    """Adds the tallies of all reports."""

    def __init__(self, total: Tally) -> None:
        self._total = total

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":
            return
        for name, value in report.user_properties:
            if name == PROPERTY:
                self._total.add(msgspec.convert(value, Tally))


def pytest_configure(config: pytest.Config) -> None:
    total = config.stash[TOTAL] = Tally()
    config.pluginmanager.register(Adding(total))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    total = session.config.stash[TOTAL]
    if total.lost or total.repeated:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    total = config.stash[TOTAL]
    if reporter is not None and total.rounds:
        reporter.write_line(str(total))
