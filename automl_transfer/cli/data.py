"""``automl-transfer data``."""

from __future__ import annotations

import json
import re
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from automl_transfer.cli.options import (
    GroupedCommand,
    data_options,
    json_option,
    reading_options,
)
from automl_transfer.errors import DataError, UsageError

if TYPE_CHECKING:
    from automl_transfer.audit import Audit, Severity
    from automl_transfer.cards import SampleDataCard
    from automl_transfer.dataset import DataOptions
    from automl_transfer.registry import Registry

PAUSE = 2.0
"""Seconds between two lines of progress."""


@click.group()
def data() -> None:
    """Audit your data, and get sample data to try the search on."""


@data.command(
    cls=GroupedCommand,
    epilog="""\b
Examples:
  automl-transfer data check ./images
  automl-transfer data check photos.csv --root ./photos --label-column species
  automl-transfer data check ./images --fail-on warning --json > audit.json

Exit codes: 0, also with findings; 4 if one is as grave as --fail-on says, or if the data cannot be
used at all.""",
)
@click.argument("path", metavar="DIR")
@click.option(
    "--fail-on",
    type=click.Choice(["warning", "error"]),
    help="End with exit code 4 if a finding is as grave as this, or graver.",
)
@click.option("--save", metavar="FILE", help="Write the audit as JSON to FILE as well.")
@reading_options
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    /,
    path: str,
    fail_on: Severity | None,
    save: str | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Audit the labelled data in DIR, or of a manifest, without training anything.

    Looks for what cannot be read, copies and near copies within and across classes and parts,
    classes that are tiny, empty, spelt alike or missing from a part, and whatever else is
    remarkable; says what a search does about it. Nothing is changed.
    """
    from automl_transfer.artifacts import replacing
    from automl_transfer.cli.registry import loaded_registry
    from automl_transfer.cli.streams import write_json
    from automl_transfer.cli.terminal import write_blocks
    from automl_transfer.jsonable import to_json
    from automl_transfer.report.audit import audit_section

    found = _checked(Path(path).absolute(), data_options(**reading), loaded_registry())
    document = to_json(found)
    if save is not None:
        with replacing(Path(save)) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if as_json:
        write_json(document)
    else:
        write_blocks(audit_section(found))
    unusable = any(one.kind == "unusable" for one in found.findings)
    if unusable or (fail_on is not None and found.reaches(fail_on)):
        ctx.exit(DataError.exit_code)


def _checked(path: Path, options: DataOptions, registry: Registry) -> Audit:
    """The audit, with progress on standard error."""
    from automl_transfer.cli.streams import inform
    from automl_transfer.events import Event, Progress
    from automl_transfer.generators import ended
    from automl_transfer.stages.checking import check

    told = time.monotonic()

    def tell(event: Event) -> None:
        nonlocal told
        if isinstance(event, Progress) and time.monotonic() - told >= PAUSE:
            told = time.monotonic()
            inform(f"{event.what}: {event.done} of {event.total}")

    return ended(check(path, options, registry), tell)


@data.command(
    epilog="""\b
Examples:
  automl-transfer data sample --list
  automl-transfer data sample digits ./images --per-class 50"""
)
@click.argument("name", required=False)
@click.argument("directory", required=False)
@click.option("--per-class", type=int, metavar="N", help="At most N of each class.")
@click.option("--labelling", metavar="NAME", help="Which labels, where there are several.")
@click.option("--list", "as_list", is_flag=True, help="Only list the data sets.")
@json_option
def sample(
    name: str | None,
    directory: str | None,
    per_class: int | None,
    labelling: str | None,
    as_list: bool,
    as_json: bool,
) -> None:
    """Write the data set NAME into DIRECTORY as class folders; without NAME, list what there is.

    Nothing is downloaded: data sets come with packages. Nothing is ever written over.
    """
    from automl_transfer.cli.registry import loaded_registry
    from automl_transfer.cli.streams import inform, write_json
    from automl_transfer.report.text import plain

    registry = loaded_registry()
    if name is None or as_list:
        _list(registry, as_json)
        return
    card = registry.sample(name)
    if directory is None:
        raise UsageError(
            "A directory to write to must be given, but there is none: "
            f"automl-transfer data sample {plain(name)} DIRECTORY"
        )
    if per_class is not None and per_class < 1:
        raise UsageError(f"--per-class must be at least 1, but got {per_class}.")
    from automl_transfer.sample_data import write_sample

    count = write_sample(card, registry.load(card), Path(directory), labelling, per_class)
    if as_json:
        write_json(
            {"name": card.id, "directory": directory, "files": count, "license": card.license}
        )
        return
    click.echo(f"{plain(card.title)}: {count:,} files in {plain(directory)}")
    click.echo(
        f"Licence: {plain(card.license)}" + (f" ({plain(card.source)})" if card.source else "")
    )
    inform(f"Next: automl-transfer search --data {plain(directory)} --budget 5m")


def _list(registry: Registry, as_json: bool) -> None:
    from automl_transfer.cli.streams import write_json
    from automl_transfer.cli.terminal import write_blocks
    from automl_transfer.report.blocks import Table, columns

    cards = [entry.card for entry in registry.sample_data.values()]
    if as_json:
        write_json(
            [
                {
                    "name": card.id,
                    "title": card.title,
                    "license": card.license,
                    "labellings": list(card.labellings),
                    "installed": installed(card),
                    "requires": card.requires,
                    "source": card.source,
                }
                for card in cards
            ]
        )
        return
    rows = tuple(
        (
            card.id,
            card.title,
            card.license,
            ", ".join(card.labellings),
            "yes" if installed(card) else f"no: pip install '{card.requires}'",
        )
        for card in cards
    )
    write_blocks(
        [Table(columns=columns("name", "title", "licence", "labellings", "installed"), rows=rows)]
    )


def installed(card: SampleDataCard) -> bool:
    """Whether the package that brings the data is installed."""
    if card.requires is None:
        return True
    name = re.match(r"[\w.-]+", card.requires)
    try:
        version(name[0] if name else card.requires)
    except PackageNotFoundError:
        return False
    return True
