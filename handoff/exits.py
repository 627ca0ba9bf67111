"""End a command whose declarations or inputs are wrong: one line per fault on stderr, and exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from domain.errors import BadDeclaration
from handoff.inputs import BadInput


@contextmanager
def faults_exit_2() -> Iterator[None]:
    """Print the faults of a BadDeclaration or BadInput that is raised within, and exit with 2."""
    try:
        yield
    except BadDeclaration as wrong:
        for fault in wrong.faults:
            typer.echo(fault, err=True)
        raise typer.Exit(2) from wrong
    except BadInput as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from wrong
