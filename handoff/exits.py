"""How a command ends when what it was given is wrong: every fault on a line of its own on stderr, and exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from domain.errors import BadDeclaration
from handoff.inputs import BadInput


@contextmanager
def faults_exit_2() -> Iterator[None]:
    """Tell the faults of a declaration or an input that is raised within, and exit with 2."""
    try:
        yield
    except BadDeclaration as wrong:
        for fault in wrong.faults:
            typer.echo(fault, err=True)
        raise typer.Exit(2) from wrong
    except BadInput as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from wrong
