"""The packs of a training, who is in them, and what becomes of those who leave."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from automl_transfer.errors import OutOfMemoryError, staying
from automl_transfer.training.alike import stack_alone
from automl_transfer.training.device import is_out_of_memory
from automl_transfer.training.head import diverged, fit
from automl_transfer.training.head_runs import HeadReport, HeadResult, HeadRun
from automl_transfer.training.kinds import Kind, kind_of
from automl_transfer.training.pack import Pack, Rates, Recipe
from automl_transfer.training.run import OutOfTimeError
from automl_transfer.training.similarity import CosineSimilarity

NUMBERS = 1 << 24
"""Parameters in a pack, at the most: with their gradients and AdamW's state 20 bytes each."""
SETTLED = 1e-3
"""Mean change of a probability, and relative change of the training loss, between two reports.

Strict, so that few runs end early: at looser bounds a fifth of the epochs was saved, and runs lost
up to 5 points of accuracy (three sets, 48 runs each)."""
SETTLED_REPORTS = 2
"""In a row, after which a run has converged."""


@dataclass(kw_only=True)
class _Team:
    """Runs that are trained as one pack."""

    kind: Kind
    members: list[int]
    heads: list[nn.Module]
    pack: Pack | None = None
    """None before the first step."""


class Teams:
    """Runs by the pack that they are trained in, and the results of those that have ended."""

    def __init__(self, runs: Sequence[HeadRun], recipe: Recipe) -> None:
        self.runs = runs
        self.recipe = recipe
        self.results: dict[int, HeadResult] = {}
        self.last = [
            HeadReport(
                run=index,
                epoch=0,
                epochs=recipe.epochs,
                loss=math.nan,
                probabilities=np.zeros((0, recipe.link.outputs), dtype=np.float32),
                seconds=0.0,
            )
            for index in range(len(runs))
        ]
        self.calm = [0] * len(runs)
        self._means: torch.Tensor | None = None
        self.teams = list(self._form())

    def advance(self, until: int) -> list[HeadReport]:
        """Trains all teams up to the end of the epoch ``until``; returns the reports."""
        waiting, self.teams = self.teams, []
        try:
            while waiting:
                team = waiting.pop(0)
                try:
                    with staying("A head"):
                        self._train(team, until)
                    self.teams.append(team)
                except OutOfTimeError:
                    raise
                except Exception as error:
                    waiting[:0] = self._after(error, team)
        except OutOfTimeError as error:
            for index in range(len(self.runs)):
                self._fail(index, error)
            self.teams = []
        return sorted(
            (self.last[index] for team in self.teams for index in team.members),
            key=lambda report: report.run,
        )

    def end(self, stop: Collection[int], until: int, end_settled: bool) -> None:
        """Ends what is to stop, what has converged and, after the last epoch, everything."""
        over = until == self.recipe.epochs
        for team in self.teams:
            for place, index in enumerate(team.members):
                settled = end_settled and self.calm[index] >= SETTLED_REPORTS
                if over or settled or index in stop:
                    assert team.pack is not None
                    team.pack.write(place, team.heads[place])
                    head = team.heads[place].to("cpu").eval()
                    self._end(index, head, stopped=index in stop and not over)
            self._drop(team)
        self.teams = [team for team in self.teams if team.members]

    def _form(self) -> Iterator[_Team]:
        """Builds all heads, and brings those of a kind together as far as memory allows."""
        found: dict[Hashable, list[_Team]] = {}
        sizes: dict[Hashable, int] = {}
        for index in range(len(self.runs)):
            try:
                head = self._head(index)
                kind = kind_of(head, index)
            except Exception as error:  # a broken head must not end the others
                self._fail(index, error)
                continue
            numbers = sum(tensor.numel() for tensor in head.parameters())
            teams = found.setdefault(kind.key, [])
            if not teams or sizes[kind.key] + numbers > NUMBERS:
                teams.append(_Team(kind=kind, members=[], heads=[]))
                sizes[kind.key] = 0
            sizes[kind.key] += numbers
            teams[-1].members.append(index)
            teams[-1].heads.append(head)
        for teams in found.values():
            yield from teams

    def _head(self, index: int) -> nn.Module:
        """A head as it is before the first step, on the CPU."""
        head = self.runs[index].build()
        if type(head) is CosineSimilarity and self._means is not None:
            # The class means are the same for all of them: its scale has no part in them.
            with torch.no_grad():
                head.weight.copy_(self._means)
        elif hasattr(head, "fit"):
            head.to(self.recipe.device)
            fit(head, self.recipe.features.to(self.recipe.device), self.recipe.learned)
            head.to("cpu")
            if type(head) is CosineSimilarity:
                self._means = head.weight.detach().clone()
        return head

    def _train(self, team: _Team, until: int) -> None:
        recipe = self.recipe
        if team.pack is None:
            runs = [self.runs[index] for index in team.members]
            rates = Rates(
                lr=torch.tensor([run.lr for run in runs]).to(recipe.device),
                weight_decay=torch.tensor([run.weight_decay for run in runs]).to(recipe.device),
                label_smoothing=torch.tensor([run.label_smoothing for run in runs]).to(
                    recipe.device
                ),
                class_weights=_class_weights(runs, recipe),
            )
            by_itself = len(runs) == 1 and not team.kind.trusted
            stack = stack_alone if by_itself else team.kind.stack
            team.pack = Pack(stack(team.heads, recipe.device), rates, recipe)
        pack = team.pack
        before = pack.seconds
        pack.advance(until)
        probabilities = pack.probabilities()
        sizes = pack.stack.sizes().double().clamp(min=1)
        shares = (sizes / sizes.sum() * (pack.seconds - before)).tolist()
        for place, index in enumerate(team.members):
            last = self.last[index]
            report = replace(
                last,
                epoch=until,
                loss=float(pack.losses[place]),
                probabilities=probabilities[place],
                seconds=last.seconds + shares[place],
            )
            if not math.isfinite(report.loss) or not np.isfinite(report.probabilities).all():
                self._fail(index, diverged(report.loss, self.runs[index].lr))
                continue
            self.calm[index] = self.calm[index] + 1 if _is_calm(last, report) else 0
            self.last[index] = report
        self._drop(team)

    def _after(self, error: Exception, team: _Team) -> list[_Team]:
        """What to go on with when a team has failed: smaller teams, from their start.

        They catch up in silence with where the team was.
        """
        full = is_out_of_memory(error)
        if len(team.members) == 1:
            (index,) = team.members
            if full:
                error = OutOfMemoryError(f"A head must fit into memory, but does not: {error}")
            self._fail(index, error)
            return []
        if not full and team.kind.trusted:
            raise error
        team.pack = None
        if full and self.recipe.device.type == "cuda":
            torch.cuda.empty_cache()
        half = len(team.members) // 2
        parts = (
            [team.members[:half], team.members[half:]]
            if full
            else [[index] for index in team.members]
        )
        return [
            _Team(kind=team.kind, members=members, heads=[self._head(index) for index in members])
            for members in parts
        ]

    def _drop(self, team: _Team) -> None:
        """Takes the runs that have ended out of a team."""
        places = [place for place, index in enumerate(team.members) if index not in self.results]
        if len(places) < len(team.members):
            team.members = [team.members[place] for place in places]
            team.heads = [team.heads[place] for place in places]
            if team.pack is not None and places:
                team.pack.keep(places)

    def _fail(self, index: int, error: Exception) -> None:
        self._end(index, None, error=error)

    def _end(
        self,
        index: int,
        head: nn.Module | None,
        *,
        error: Exception | None = None,
        stopped: bool = False,
    ) -> None:
        if index not in self.results:
            last = self.last[index]
            self.results[index] = HeadResult(
                run=index,
                head=head,
                probabilities=last.probabilities,
                epochs=last.epoch,
                loss=last.loss,
                seconds=last.seconds,
                error=error,
                stopped=stopped,
            )


def _class_weights(runs: Sequence[HeadRun], recipe: Recipe) -> torch.Tensor | None:
    """Those of each head, shape (R, c); None where no head has any."""
    if all(run.class_weights is None for run in runs):
        return None
    alike = (1.0,) * recipe.link.outputs
    return torch.tensor([run.class_weights or alike for run in runs]).to(recipe.device)


def _is_calm(last: HeadReport, report: HeadReport) -> bool:
    """Whether next to nothing has changed since the report before."""
    if last.epoch == 0 or not len(report.probabilities):
        return False
    change = float(np.abs(report.probabilities - last.probabilities).mean())
    return change <= SETTLED and abs(report.loss - last.loss) <= SETTLED * abs(last.loss)
