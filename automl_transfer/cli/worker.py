"""``automl-transfer worker``."""

from __future__ import annotations

import click

from automl_transfer.budget import parse_duration
from automl_transfer.cli.options import GroupedCommand, storage_option, studies_option


@click.command(
    cls=GroupedCommand,
    epilog="""\b
Examples:
  automl-transfer worker --study pets
  automl-transfer worker --study pets --studies /shared/studies --device cuda:1
  AUTOML_TRANSFER_STORAGE=postgresql://... automl-transfer worker --study pets --data /local/pets

A worker may come and go at any time. SIGTERM keeps the trial under way for another worker and
ends with code 143, Ctrl-C with 130; a second one ends at once.""",
)
@click.option("--study", required=True, metavar="NAME", help="Name of the study to work for.")
@studies_option
@storage_option
@click.option(
    "--data", metavar="PATH", help="Where the data are here; they must be those of the search."
)
@click.option(
    "--device",
    default="auto",
    metavar="DEVICE",
    show_default=True,
    help="auto, cpu, cuda, cuda:1, mps.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Of the CPU.  [default: all cores]"
)
@click.option(
    "--idle",
    default="30m",
    metavar="TIME",
    show_default=True,
    help="Go after so long with nothing to do.",
)
@click.option(
    "--hang",
    metavar="TIME",
    help="Give up a trial that has done no step for so long.  [default: 10m]",
)
@click.option("--with", "parent", type=int, hidden=True, help="Go when this process goes.")
@click.option("--quiet", is_flag=True, help="Say nothing but what goes wrong.")
@click.pass_context
def worker(
    ctx: click.Context,
    study: str,
    studies: str,
    storage: str | None,
    data: str | None,
    device: str,
    threads: int | None,
    idle: str,
    hang: str | None,
    parent: int | None,
    quiet: bool,
) -> None:
    """Fine-tune for a search that runs elsewhere.

    The search decides and records; its workers train. They need its studies directory (a shared
    file system), its database, the same plugins, and the data.
    """
    from automl_transfer.cli.interrupt import leaving
    from automl_transfer.cli.registry import loaded_registry
    from automl_transfer.cli.streams import inform
    from automl_transfer.report.figures import counted
    from automl_transfer.working import HUNG, Worker

    made = Worker(
        study,
        loaded_registry(),
        studies=studies,
        storage=storage,
        data=data,
        device=device,
        threads=threads,
        idle=parse_duration(idle),
        hang=None if hang is None else parse_duration(hang),
        parent=parent,
        tell=(lambda _: None) if quiet else inform,
    )
    with leaving(made.leave) as came:
        tally = made.run()
    if not quiet:
        inform(f"{counted(tally.jobs, 'trial')} advanced; it ends since {tally.reason}.")
    if came:
        ctx.exit(128 + came[0])
    if tally.broken:
        ctx.exit(HUNG)
