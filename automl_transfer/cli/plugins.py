"""``automl-transfer plugins``."""

from __future__ import annotations

import os
import shlex
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from automl_transfer.cli.brief import brief
from automl_transfer.cli.options import json_option
from automl_transfer.cli.scaffold import MEMBERS, scaffold
from automl_transfer.errors import PluginError

if TYPE_CHECKING:
    from automl_transfer.entries import Loaded
    from automl_transfer.registry import Registry
    from automl_transfer.testing.kit.checking import Level


@click.group()
def plugins() -> None:
    """What plugins offer, and whether it does what the contract asks."""


@plugins.command("list")
@json_option
@brief()
def list_members(as_json: bool) -> None:
    """List what plugins offer, their health, and what was set aside and why."""
    from automl_transfer.cli.streams import write_json
    from automl_transfer.plugins import load_registry

    registry = load_registry()
    members = [
        {
            "kind": word,
            "id": entry.card.id,
            "plugin": entry.plugin,
            "distribution": entry.distribution,
            "version": entry.version,
        }
        for word, entry in registry.members()
    ]
    loaded = _plugins(registry, members)
    quarantined = [
        {
            "plugin": row.plugin,
            "distribution": row.distribution,
            "version": row.version,
            "stage": row.stage,
            "reason": row.reason,
            "hint": row.hint,
            "ids": list(row.ids),
        }
        for row in registry.quarantined
    ]
    if as_json:
        write_json({"plugins": loaded, "members": members, "quarantined": quarantined})
        return
    from automl_transfer.cli.terminal import write_blocks
    from automl_transfer.report.blocks import Block, Heading, Table, columns

    blocks: list[Block] = [
        Table(
            columns=columns("plugin", "provider", "adds", "health", "import"),
            rows=tuple(
                (
                    row["plugin"],
                    f"{row['distribution']} {row['version']}".strip(),
                    ", ".join(f"{count} {word}" for word, count in row["adds"].items()),
                    row["health"],
                    f"{1000 * row['seconds']:.0f} ms",
                )
                for row in loaded
            ),
        ),
        Heading(text="Members"),
        Table(
            columns=columns("kind", "id", "provider"),
            rows=tuple(
                (row["kind"], row["id"], f"{row['distribution']} {row['version']}".strip())
                for row in members
            ),
        ),
    ]
    if registry.quarantined:
        blocks += [
            Heading(text="Set aside"),
            Table(
                columns=columns("plugin", "provider", "at", "reason", "what to do"),
                rows=tuple(
                    (row.plugin, row.provider, row.stage, row.reason, row.hint)
                    for row in registry.quarantined
                ),
            ),
        ]
    write_blocks(blocks)


def _plugins(registry: Registry, members: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Those that were let in: what each adds, how it is, how long its import took."""
    adds: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in members:
        adds[row["distribution"], row["plugin"]][row["kind"]] += 1
    troubles = Counter((row.distribution, row.plugin) for row in registry.quarantined)
    return [
        {
            "plugin": one.origin.plugin,
            "distribution": one.origin.distribution,
            "version": one.origin.version,
            "adds": dict(adds[own]),
            "health": _health(troubles[own], one),
            "seconds": one.seconds,
        }
        for one in registry.loaded
        for own in [(one.origin.distribution, one.origin.plugin)]
    ]


def _health(troubles: int, one: Loaded) -> str:
    if troubles:
        return f"{troubles} set aside"
    return "slow to import" if one.is_slow else "ok"


@plugins.command("info")
@click.argument("id")
@json_option
def show_member(id: str, as_json: bool) -> None:
    """Show all that is known of a member, by its id, without a download."""
    from automl_transfer.cli.member import blocks, described, members
    from automl_transfer.cli.registry import loaded_registry
    from automl_transfer.cli.streams import write_json
    from automl_transfer.cli.terminal import write_blocks

    registry = loaded_registry()
    found = [
        (described(registry, word, entry), entry.card) for word, entry in members(registry, id)
    ]
    if as_json:
        write_json({"members": [row for row, _ in found]})
    else:
        write_blocks([block for row, card in found for block in blocks(row, card)])


@plugins.command("new")
@click.argument("kind", type=click.Choice(tuple(MEMBERS)))
@click.argument("name")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("."),
    show_default=True,
    help="Directory in which the package's own is made.",
)
@json_option
def new_plugin(kind: str, name: str, output: Path, as_json: bool) -> None:
    """Write a new plugin package that works, to put your own in its place.

    NAME is a namespace, or a namespace and a name: acme, acme/net. Needs no network.
    """
    from automl_transfer.cli.streams import write_json
    from automl_transfer.cli.terminal import write_blocks
    from automl_transfer.report.blocks import Listing, Paragraph

    made = scaffold(kind, name, output)
    # Without a slash pip would take the name for one of the registry, and ask there.
    place = shlex.quote(os.path.join(os.curdir, made.directory))
    if as_json:
        write_json(
            {
                "directory": str(made.directory),
                "id": made.id,
                "distribution": made.distribution,
            }
        )
        return
    write_blocks(
        [
            Paragraph(text=f"{made.distribution}, with the {kind} {made.id}: {made.directory}"),
            Listing(
                text=f"pip install {place}\n"
                f"automl-transfer plugins check {made.id}\n"
                f"python -m pytest {place}"
            ),
        ]
    )


@plugins.command("check")
@click.argument("target")
@click.option(
    "--level",
    type=click.Choice(("card", "shape", "train")),
    default="train",
    show_default=True,
    help="How far to go: what is declared, what is built, what is trained for a few steps.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of random weights.")
@json_option
def check_members(target: str, level: Level, seed: int, as_json: bool) -> None:
    """Check whether a member, or all of a plugin, do what the contract asks.

    TARGET is the id of a backbone, head, freeze strategy, ranker or modality, or the name of a
    plugin.
    Exits with 3 if a check fails.
    """
    from automl_transfer.cli.checked import Checked, blocks
    from automl_transfer.cli.registry import loaded_registry
    from automl_transfer.cli.streams import write_json
    from automl_transfer.cli.terminal import write_blocks
    from automl_transfer.testing.kit.members import subjects
    from automl_transfer.testing.kit.running import run_checks

    found = [
        Checked(subject=subject, results=tuple(run_checks(subject, level)))
        for subject in subjects(loaded_registry(), target, seed)
    ]
    failed = sum(len(one.results) - one.held for one in found)
    if as_json:
        members = [one.described for one in found]
        write_json({"level": level, "passed": not failed, "members": members})
    else:
        write_blocks([block for one in found for block in blocks(one)])
    if failed:
        raise PluginError(f"{failed} checks of {target!r} failed: they are marked FAILED above.")
