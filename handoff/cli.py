"""The `handoff` command: what there is, each in its own module, imported only when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS: Final[dict[str, tuple[str, str, str, str]]] = {
    # name: (module, attribute, panel, first line of help)
    "demo": ("handoff.commands.demo", "demo", "Try it", "The whole on this machine, checked against truth."),
    "up": ("handoff.commands.up", "up", "Run it", "Start everything on this machine and keep it running."),
    "down": ("handoff.commands.up", "down", "Run it", "Stop what `up` started."),
    "status": ("handoff.commands.up", "status", "Run it", "What runs here, where, and whether it is ready."),
    "listen": ("handoff.commands.listen", "listen", "Run it", "The MLLP, HTTP and folder doors."),
    "work": ("handoff.commands.work", "work", "Run it", "One worker of one stage."),
    "directory": ("handoff.commands.directory", "directory", "Run it", "Keep the member directory in Redis."),
    "console": ("handoff.commands.console", "console", "Run it", "The ops screen."),
    "topics": ("handoff.commands.topics", "topics_app", "Set it up", "topics.yaml against the cluster."),
    "doctor": (
        "handoff.commands.doctor",
        "doctor",
        "Set it up",
        "Settings, cluster, directory and declarations, checked.",
    ),
    "rules": ("handoff.commands.rules", "rules_app", "Set it up", "The programme's rules, checked."),
    "send": ("handoff.commands.send", "send", "Feed it", "HL7 files over MLLP, ACKs counted."),
    "roster": ("handoff.commands.roster", "roster_app", "Feed it", "Load the plan's members."),
    "custody": ("handoff.commands.custody", "custody_app", "Feed it", "Load custody records."),
    "candidates": ("handoff.commands.look", "candidates", "Look", "Who needs Enhanced Care Management now."),
    "member": ("handoff.commands.look", "member", "Look", "One member: visits, counts, transitions, candidates."),
    "explain": ("handoff.commands.look", "explain", "Look", "Why a candidate stands."),
    "deadletters": ("handoff.commands.deadletters", "deadletters_app", "Look", "What was not taken, and why."),
    "lag": ("handoff.commands.look", "lag", "Look", "How far behind the workers are."),
    "identity": ("handoff.commands.identity", "identity_app", "Look", "Whose a source patient is; an operator's word."),
    "replay": ("handoff.commands.replay", "replay", "Study it", "The same decisions without Kafka or Redis."),
    "what-if": ("handoff.commands.compare", "what_if", "Study it", "Candidates under other rules."),
    "compare": ("handoff.commands.compare", "compare", "Study it", "Candidates of two runs, side by side."),
    "shadow": ("handoff.commands.shadow", "shadow_app", "Study it", "A trial run beside the live one."),
    "profile": ("handoff.commands.profile", "profile", "Study it", "A feed before it goes live; its profile drafted."),
    "simulate": ("handoff.commands.simulate", "simulate", "Study it", "A synthetic county with ground truth."),
}


class _Lazy(TyperGroup):
    """Imports a command's module when the command runs, so that `--help` answers at once."""

    def list_commands(self, _: Any) -> list[str]:
        """In the order of the table, which is the order of use."""
        return list(COMMANDS)

    def get_command(self, _: Any, cmd_name: str) -> Any:
        """A stand-in that knows only what `--help` prints."""
        if cmd_name not in COMMANDS:
            return None
        _, _, panel, first_line = COMMANDS[cmd_name]
        stand_in = TyperCommand(cmd_name, help=first_line, rich_help_panel=panel)
        stand_in.short_help = first_line
        return stand_in

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, (stand_in if name is None else _load(name)), rest


def _load(name: str) -> Any:
    module, attribute, _, _ = COMMANDS[name]
    target = getattr(import_module(module), attribute)
    if isinstance(target, typer.Typer):
        return typer.main.get_group(target)
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command(name)(target)
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=_Lazy,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="ADT messages in, Enhanced Care Management referral candidates out.\n\n"
    "Start with [bold]handoff demo[/]. Exit codes: 0 done, 1 found something wrong, 2 bad input or declaration, "
    "70 crashed on purpose.",
)


@app.callback()
def _root() -> None:
    """Options that all commands share would stand here."""


def main() -> None:
    """Run the command line."""
    app()
