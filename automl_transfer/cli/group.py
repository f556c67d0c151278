"""The group of all commands. A command's module is imported when that command runs."""

from __future__ import annotations

import importlib
import os
from typing import Any

import click

from automl_transfer import __version__
from automl_transfer.errors import did_you_mean

COMMANDS = {
    "search": ("search:search", "Find the best transfer configuration for labelled data."),
    "worker": ("worker:worker", "Fine-tune for a search that runs elsewhere."),
    "show": ("show:show", "Show a study: its answer, ranking and trials."),
    "studies": ("studies:studies", "List the studies."),
    "predict": ("predict:predict", "Predict files with the trained winner of a study."),
    "data": ("data:data", "Check labelled data, or write sample data to try the search on."),
    "plugins": ("plugins:plugins", "List what plugins offer, and what was set aside."),
    "dashboard": ("dashboard:dashboard", "Watch and compare studies in the browser."),
}
"""Name to where it lives below ``automl_transfer.cli``, and its line in the help."""


class LazyGroup(click.Group):
    """Knows its commands by name, and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"automl_transfer.cli.{module}"), name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As usual, but suggests a name close to one that is unknown."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}.{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _to_environment(_: click.Context, parameter: click.Parameter, value: Any) -> None:
    # The environment reaches every place that loads plugins, child processes included.
    if value is True:
        os.environ[f"AUTOML_TRANSFER_{str(parameter.name).upper()}"] = "1"
    elif value:
        before = os.environ.get("AUTOML_TRANSFER_DISABLE_PLUGINS", "")
        os.environ["AUTOML_TRANSFER_DISABLE_PLUGINS"] = ",".join(filter(None, (before, *value)))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  automl-transfer data sample digits ./images
  automl-transfer search --data ./images --budget 5m
  automl-transfer predict images-1a2b3c photo.jpg

Data go to standard output, progress and warnings to standard error. NO_COLOR is respected. Exit
codes: 0 done, 1 nothing usable, 2 usage, 3 plugin, 4 data, 5 nothing to search over, 130
interrupted, 143 ended by SIGTERM.""",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--disable-plugin",
    multiple=True,
    metavar="NAME",
    callback=_to_environment,
    expose_value=False,
    help="Leave out a plugin, by the name of its distribution or entry point (repeatable).",
)
@click.option(
    "--no-plugins",
    is_flag=True,
    callback=_to_environment,
    expose_value=False,
    help="Leave out all plugins but the built-in one.",
)
@click.option(
    "--strict-plugins",
    is_flag=True,
    callback=_to_environment,
    expose_value=False,
    help="Make an error of a plugin that would be set aside.",
)
def cli(debug: bool) -> None:
    """Which pretrained backbone, head and freeze strategy for my labelled images?"""
