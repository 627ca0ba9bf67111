"""The `handoff` command: one module per command, imported only when the command runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from streams.descriptors import raise_descriptor_limit

COMMANDS: Final[dict[str, tuple[str, str, str, str]]] = {
    # name: (module, attribute, panel, first line of help)
    "demo": (
        "handoff.commands.demo",
        "demo",
        "Try it",
        "A simulated county through a whole system, checked against its ground truth.",
    ),
    "up": ("handoff.commands.up", "up", "Run it", "Start everything on this machine and keep it running."),
    "down": ("handoff.commands.up", "down", "Run it", "Stop what `up` started."),
    "status": ("handoff.commands.up", "status", "Run it", "What runs on this machine, where, and whether it is ready."),
    "listen": ("handoff.commands.listen", "listen", "Run it", "Ingress: MLLP, HTTP and folder listeners."),
    "work": ("handoff.commands.work", "work", "Run it", "One worker of one stage."),
    "directory": ("handoff.commands.directory", "directory", "Run it", "Keep the member directory in Redis."),
    "console": ("handoff.commands.console", "console", "Run it", "The operations page."),
    "topics": (
        "handoff.commands.topics",
        "topics_app",
        "Set it up",
        "Compare topics.yaml with the cluster; apply, export, migrate.",
    ),
    "doctor": (
        "handoff.commands.doctor",
        "doctor",
        "Set it up",
        "Check settings, cluster, directory and declarations.",
    ),
    "rules": ("handoff.commands.rules", "rules_app", "Set it up", "Check the program's rules."),
    "send": ("handoff.commands.send", "send", "Feed it", "Send HL7 files over MLLP and count the acknowledgments."),
    "roster": ("handoff.commands.roster", "roster_app", "Feed it", "Load the plan's members."),
    "custody": ("handoff.commands.custody", "custody_app", "Feed it", "Load custody records."),
    "candidates": (
        "handoff.commands.look",
        "candidates",
        "Inspect it",
        "Members who need Enhanced Care Management now.",
    ),
    "member": ("handoff.commands.look", "member", "Inspect it", "One member: visits, counts, transitions, candidates."),
    "explain": ("handoff.commands.look", "explain", "Inspect it", "The evidence of one candidate."),
    "deadletters": (
        "handoff.commands.deadletters",
        "deadletters_app",
        "Inspect it",
        "Records that were refused or set aside, and why.",
    ),
    "lag": ("handoff.commands.look", "lag", "Inspect it", "How far the workers are behind."),
    "identity": (
        "handoff.commands.identity",
        "identity_app",
        "Inspect it",
        "The member of a source patient, and why; assign by hand.",
    ),
    "replay": ("handoff.commands.replay", "replay", "Try changes", "Decide recorded messages without Kafka or Redis."),
    "what-if": ("handoff.commands.compare", "what_if", "Try changes", "Compare the candidates under two rule sets."),
    "compare": ("handoff.commands.compare", "compare", "Try changes", "Compare the candidates of two runs."),
    "shadow": ("handoff.commands.shadow", "shadow_app", "Try changes", "Run a trial beside the live system."),
    "profile": (
        "handoff.commands.profile",
        "profile",
        "Try changes",
        "Examine a feed before it goes live; draft its profile.",
    ),
    "simulate": (
        "handoff.commands.simulate",
        "simulate",
        "Try changes",
        "Generate a synthetic county with ground truth.",
    ),
}


class _Lazy(TyperGroup):
    """Imports a command's module when the command runs, so that `--help` answers at once."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Where Kafka does not answer, one line and exit code 2 in place of a traceback."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if type(error).__name__ in ("KafkaException", "TopicMissing"):  # by name: `--help` imports no client
                import_module("handoff.output").exit_2_for_kafka(error)
            raise

    def list_commands(self, _: Any) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, _: Any, cmd_name: str) -> Any:
        """A placeholder with what `--help` prints."""
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
    """Makes a group of the commands; there are no shared options."""


def main() -> None:
    """Run the command line."""
    raise_descriptor_limit()
    app()
