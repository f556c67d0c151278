"""``automl-transfer plugins``."""

from __future__ import annotations

import click

from automl_transfer.cli.options import json_option

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
    """List what plugins offer, and what was set aside and why."""
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
        write_json({"members": members, "quarantined": quarantined})
        return
    blocks: list[Block] = [
        Table(
            columns=columns("kind", "id", "provider"),
            rows=tuple(
                (row["kind"], row["id"], f"{row['distribution']} {row['version']}".strip())
                for row in members
            ),
        )
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
