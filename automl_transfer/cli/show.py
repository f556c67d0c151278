"""``automl-transfer show``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from automl_transfer.cli.options import (
    GroupedCommand,
    json_option,
    storage_option,
    studies_option,
)
from automl_transfer.errors import StudyError

if TYPE_CHECKING:
    from automl_transfer.outcome import Outcome
    from automl_transfer.recommendation import Exclusion
    from automl_transfer.report.blocks import Block
    from automl_transfer.study import Study


def _print_schema(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from automl_transfer.report.shown import schema_text

        click.echo(schema_text(), nl=False)
        ctx.exit()


@click.command(
    cls=GroupedCommand,
    epilog="""\b
Examples:
  automl-transfer show images-1a2b3c --why
  automl-transfer show images-1a2b3c --trial 12
  automl-transfer show studies/images-1a2b3c --json | jq .recommendation.test.value
  automl-transfer show --schema""",
)
@click.argument("study")
@studies_option
@storage_option
@json_option
@click.option("--why", is_flag=True, help="Also what was left out and why, and the screening.")
@click.option("--trials", is_flag=True, help="Also every trial.")
@click.option("--trial", type=int, metavar="N", help="Only trial N, with its learning curve.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON schema of what --json prints, and nothing else.",
)
def show(
    study: str,
    studies: str,
    storage: str | None,
    as_json: bool,
    why: bool,
    trials: bool,
    trial: int | None,
) -> None:
    """Show a study, by its name or directory: its answer, ranking and trials.

    A study without an answer yet is shown as it stands.
    """
    from automl_transfer.cli.reading import metric_of, opened
    from automl_transfer.cli.streams import write_json
    from automl_transfer.cli.terminal import write_blocks
    from automl_transfer.jsonable import to_json
    from automl_transfer.report.shown import shown
    from automl_transfer.report.trial import trial_blocks

    with opened(study, studies, storage) as found:
        if trial is not None:
            row = _one(found, trial)
            value: Any = to_json(row)
            blocks = trial_blocks(row, metric_of(found))
        elif as_json:
            value = shown(found, metric_of(found), _all(found) if trials else None)
        else:
            blocks = _blocks(found, why, trials)
    if as_json:
        write_json(value)
    else:
        write_blocks(blocks)


def _all(study: Study) -> list[Outcome]:
    """Ended and running trials by number."""
    running = study.running  # before the ended ones: a trial is then seen twice rather than never
    rows = {row.number: row for row in running} | {row.number: row for row in study.trials}
    return [rows[number] for number in sorted(rows)]


def _one(study: Study, number: int) -> Outcome:
    rows = _all(study)
    for row in rows:
        if row.number == number:
            return row
    there = f"0 to {rows[-1].number}" if rows else "none yet"
    raise StudyError(
        f"--trial must be the number of a trial of study {study.name!r} ({there}), "
        f"but got {number}. List them with --trials."
    )


def _exclusions(study: Study) -> list[Exclusion]:
    from automl_transfer.jsonable import from_json
    from automl_transfer.recommendation import Exclusion

    return [from_json(Exclusion, row) for row in study.document("why_not") or ()]


def _blocks(study: Study, why: bool, with_trials: bool) -> list[Block]:
    from automl_transfer.cli.reading import metric_of
    from automl_transfer.report.background import screen_section, why_not_section
    from automl_transfer.report.blocks import Heading, Listing
    from automl_transfer.report.complete import summary_blocks
    from automl_transfer.report.material import gather
    from automl_transfer.report.ranking import is_final, trials_table

    rows = study.trials
    answer = study.recommendation
    if answer is not None and is_final(answer, rows):
        blocks = summary_blocks(gather(answer, study.document, rows))
    else:
        blocks = _provisional(study, rows)
    if why:
        blocks += [
            *screen_section(study.document("screen") or ()),
            *why_not_section(_exclusions(study)),
        ]
    if with_trials:
        blocks += [Heading(text="Trials"), trials_table(_all(study), metric_of(study))]
    return [*blocks, Heading(text="Repeat or resume"), Listing(text=study.command)]


def _provisional(study: Study, rows: list[Outcome]) -> list[Block]:
    from automl_transfer.cli.reading import metric_of, state_words
    from automl_transfer.report.blocks import Heading, Paragraph
    from automl_transfer.report.ranking import OPTIMISTIC, provisional_table, tally

    state = state_words(study)
    error = study.status.get("error")
    blocks: list[Block] = [
        Heading(text=f"Study {study.name}", level=1),
        Paragraph(
            text=f"PROVISIONAL: the study is {state}; what follows is how it stands, "
            f"and no answer yet. Trials: {tally(Counter(row.state for row in rows))}.",
            strong=True,
        ),
    ]
    if error:
        blocks.append(Paragraph(text=f"It ended with an error: {error}"))
    blocks.append(Heading(text="Provisional ranking"))
    if not any(row.state == "finished" for row in rows):
        blocks.append(Paragraph(text="No trial has finished yet."))
        return blocks
    return [
        *blocks,
        provisional_table(rows, metric_of(study)),
        Paragraph(text=OPTIMISTIC),
    ]
