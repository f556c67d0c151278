"""``automl-transfer plugins``."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from automl_transfer.cli.options import json_option
from automl_transfer.entries import Loaded
from automl_transfer.registry import Registry

KINDS = {
    "modalities": "modality",
    "backbones": "backbone",
    "heads": "head",
    "strategies": "strategy",
    "rankers": "ranker",
    "samplers": "sampler",
    "pruners": "pruner",
    "sample_data": "sample data",
}


@click.group()
def plugins() -> None:
    """What plugins offer."""


@plugins.command("list")
@json_option
def list_members(as_json: bool) -> None:
    """List what plugins offer, their health, and what was set aside and why."""
    from automl_transfer.cli.terminal import write_blocks, write_json
    from automl_transfer.plugins import load_registry
    from automl_transfer.report.blocks import Block, Heading, Table, columns

    registry = load_registry()
    members = [
        {
            "kind": word,
            "id": entry.card.id,
            "plugin": entry.plugin,
            "distribution": entry.distribution,
            "version": entry.version,
        }
        for kind, word in KINDS.items()
        for entry in getattr(registry, kind).values()
    ]
    loaded = [_plugin(registry, one, members) for one in registry.loaded]
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


def _plugin(registry: Registry, one: Loaded, members: list[dict[str, str]]) -> dict[str, Any]:
    """A plugin that was let in: what it adds, how it is, how long its import took."""
    origin = one.origin
    own = (origin.distribution, origin.plugin)
    troubles = sum((row.distribution, row.plugin) == own for row in registry.quarantined)
    health = f"{troubles} set aside" if troubles else "slow to import" if one.is_slow else "ok"
    adds = Counter(row["kind"] for row in members if (row["distribution"], row["plugin"]) == own)
    return {
        "plugin": origin.plugin,
        "distribution": origin.distribution,
        "version": origin.version,
        "adds": dict(adds),
        "health": health,
        "seconds": one.seconds,
    }
