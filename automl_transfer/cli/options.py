"""Options that several commands share, and the numbers that they understand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from automl_transfer.errors import UsageError
from automl_transfer.kinds import KINDS, Kind

if TYPE_CHECKING:
    from automl_transfer.dataset import DataOptions

F = TypeVar("F", bound=Callable[..., Any])

_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgb]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


def parse_count(text: str) -> int:
    """A whole number in a text such as ``25M``, ``1.5G``, ``300k`` or ``1000``.

    Raises:
        UsageError: The text is no such number.
    """
    found = _COUNT.fullmatch(text.strip())
    value = float(found[1]) * _UNITS[found[2].lower()] if found else 0.0
    if not 1 <= value < 1e15:
        raise UsageError(
            "A number of parameters is at least 1, with k, M or G if need be (300k, 25M, 1.5G), "
            f"but got {text!r}."
        )
    return round(value)


class GroupedOption(click.Option):
    """An option that knows the section of the help in which it stands."""

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class GroupedCommand(click.Command):
    """A command whose help sorts the options by their sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes one section after the other, in the order of their first option."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            # The usage line and the text above tell of the arguments.
            if record is not None and isinstance(parameter, click.Option):
                section = getattr(parameter, "section", "Options")
                sections.setdefault(section, []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


def studies_option(command: F) -> F:
    """``--studies DIR``."""
    return click.option(
        "--studies",
        default="studies",
        metavar="DIR",
        show_default=True,
        cls=GroupedOption,
        section="Where",
        help="Directory of all studies.",
    )(command)


def storage_option(command: F) -> F:
    """``--storage URL``, also from the environment, where a password is not seen by others."""
    return click.option(
        "--storage",
        metavar="URL",
        envvar="AUTOML_TRANSFER_STORAGE",
        show_envvar=True,
        cls=GroupedOption,
        section="Where",
        help="SQLAlchemy URL of a database for the trials, instead of a file in the study. All "
        "users of a machine can read command lines: give a password in the variable.",
    )(command)


READING = "How the data are read"


def reading_options(command: F) -> F:
    """``--task``, ``--modality``, ``--path-column``, ``--label-column``, ``--label-separator``,
    ``--split-column``, ``--group-by``, ``--root``."""
    for names, settings in reversed(
        (
            (
                ("--task",),
                {
                    "type": click.Choice(("auto", *KINDS)),
                    "default": "auto",
                    "show_default": True,
                    "help": "What the labels of a manifest are: a class, several labels, or a "
                    "number. auto: a class, or labels where a Parquet column holds lists.",
                },
            ),
            (
                ("--modality",),
                {"metavar": "NAME", "help": "Kind of data, if it is not recognised."},
            ),
            (("--path-column",), {"default": "path", "metavar": "NAME", "show_default": True}),
            (("--label-column",), {"default": "label", "metavar": "NAME", "show_default": True}),
            (
                ("--label-separator",),
                {
                    "default": ";",
                    "metavar": "TEXT",
                    "show_default": True,
                    "help": "Between the labels of a cell, with --task multi-label.",
                },
            ),
            (
                ("--split-column",),
                {"metavar": "NAME", "help": "[default: split, if there is one]"},
            ),
            (
                ("--group-by",),
                {
                    "metavar": "COLUMN|REGEX",
                    "help": "What must stay together, such as a patient: a column of the "
                    "manifest, or a regular expression on the path, such as 'patient(\\d+)'.",
                },
            ),
            (
                ("--root",),
                {
                    "metavar": "DIR",
                    "help": "What the paths of a manifest are relative to. "
                    "[default: its directory]",
                },
            ),
        )
    ):
        command = click.option(*names, cls=GroupedOption, section=READING, **settings)(command)
    return command


def data_options(
    *,
    task: Kind | Literal["auto"],
    modality: str | None,
    path_column: str,
    label_column: str,
    label_separator: str,
    split_column: str | None,
    group_by: str | None,
    root: str | None,
) -> DataOptions:
    """What the options of :func:`reading_options` say."""
    from automl_transfer.dataset import DataOptions

    return DataOptions(
        task=task,
        path_column=path_column,
        label_column=label_column,
        label_separator=label_separator,
        split_column=split_column,
        group_by=group_by,
        root=Path(root).absolute() if root is not None else None,
        modality=modality,
    )


def json_option(command: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")(
        command
    )
