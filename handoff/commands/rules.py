"""`rules check`: findings in rules that load, such as overlaps, gaps and missing sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domain.rules.ruleset import check as check_rules
from handoff import target
from handoff.declarations.rules import load_rules
from handoff.exits import faults_exit_2
from handoff.output import as_json, out

rules_app = typer.Typer(no_args_is_help=True, help="Check the program's rules.")


@rules_app.callback()
def _root() -> None:
    """Keeps `check` a command of its own while there is only one."""


@rules_app.command("check")
def check(
    folder: Annotated[Path | None, typer.Option(help="Another rules folder.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find overlaps, gaps, dangling value sets, unsourced rules. Exit 1 when there are any, 2 when it cannot load."""
    with faults_exit_2():
        rules = load_rules(folder or target.settings().paths.rules)
    found = check_rules(rules)
    if json_:
        as_json({"version": rules.version, "hash": rules.hash, "findings": found})
    else:
        for finding in found:
            out.print(finding, markup=False)
        out.print(f"rules {rules.version}: {len(found)} findings", style="green" if not found else "yellow")
    if found:
        raise typer.Exit(1)
