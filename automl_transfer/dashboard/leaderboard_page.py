"""Everything that was tried: tiers, intervals, curves and costs, and a way to compare some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from automl_transfer.dashboard import address, bound, places, tables
from automl_transfer.dashboard.bars import interval_bars
from automl_transfer.dashboard.frame import View
from automl_transfer.dashboard.guarded import fragment
from automl_transfer.dashboard.leaderboard_rows import TIERS, as_csv, filtered, ranking
from automl_transfer.dashboard.snapshot import Snapshot, outcomes
from automl_transfer.dashboard.wording import counted, metric_words
from automl_transfer.jsonable import digest

SIZE = 50
"""Rows of a page."""
MOST_TICKS = 4
"""Trials that can be compared."""
_FILTERS = ("backbone", "head", "strategy", "state")
_REMEMBERS = tables.knows("selection_default")
"""Newer versions of Streamlit can draw a table with rows selected."""
_SHOWN = {
    "tier": 44,
    "trial": 58,
    "backbone": 180,
    "head": 72,
    "strategy": 88,
    "value": 78,
    "bar": 174,
    "confirmed": 84,
    "seconds": 74,
    "trainable": 78,
    "curve": 70,
    "state": 72,
    "interval": 130,
    "rank": 50,
}
"""Columns, and how wide each is, in pixels."""
_SORTS = {
    "rank": "tier, then rank",
    "value": "score",
    "seconds": "time",
    "trainable": "trained share",
    "trial": "trial, newest first",
}


def draw(view: View) -> None:
    """Draws the page; its widgets draw it anew without what is around it."""
    fragment("The table", lambda: _draw(view))


def _draw(view: View) -> None:
    study = view.study
    frame = _frame(study.directory.as_posix(), _version(study), study)
    st.markdown(f"#### {_sentence(study, frame)}")
    if frame.empty:
        st.info("No trial has begun yet. The table fills as the search goes on.")
        return
    frame = _selected(frame)
    if frame.empty:
        st.info("No trial fits these filters. Remove one of them.")
        if st.button("Remove all filters"):
            address.put(**dict.fromkeys((*_FILTERS, "tier", "page")))
            st.rerun()
        return
    part = frame.iloc[bound.pages(len(frame), SIZE)]
    _actions(view, frame)
    _table(view, part)
    st.caption(
        "The mark is the score on validation data, the bar its 95 % interval where one was "
        "computed (of the best 50), all on one scale; a disc is tier 1, a square 2, a triangle 3. "
        "Bars do not correct for the choice among many."
    )


def _version(study: Snapshot) -> tuple[Any, ...]:
    last = [(trial.number, trial.last, trial.done) for trial in study.running]
    return (study.made, len(study.trials), study.is_final, *last)


@st.cache_resource(max_entries=8, show_spinner=False)
def _frame(directory: str, version: tuple[Any, ...], _study: Snapshot) -> pd.DataFrame:
    return ranking(_study)


def _sentence(study: Snapshot, frame: pd.DataFrame) -> str:
    finished = int((frame["state"] == "finished").sum())
    if not finished:
        return "No trial has finished yet."
    tiers = frame["tier"].value_counts()
    if tiers.empty:
        return (
            f"{counted(finished, 'trial')} finished; which of them are really better is not known "
            "before the best are confirmed on fresh folds."
        )
    level, near = int(tiers.get(1, 0)), int(tiers.get(2, 0))
    result = study.recommendation
    compared = result is not None and result.confirmation is not None
    first = (
        "The answer is one configuration; the best were not compared on fresh folds"
        if level == 1 and not compared
        else "One configuration leads"
        if level == 1
        else f"{level} configurations lead, and no difference between them is shown"
    )
    others = counted(near, "other lies", "others lie")
    rest = f"; {others} within chance of the best" if near else ""
    behind = int(tiers.get(3, 0))
    return f"{first}{rest}; {behind:,} {'is' if behind == 1 else 'are'} behind."


def _selected(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that the filters let through, in the order that was asked for."""
    chosen: dict[str, list[Any]] = {}
    columns = st.columns(len(_FILTERS) + 2)
    for place, name in zip(columns, _FILTERS, strict=False):
        with place:
            known = sorted(frame[name].unique())
            chosen[name] = bound.choices(name.capitalize(), name, known)
    with columns[-2]:
        tiers = [str(tier) for tier in sorted(frame["tier"].dropna().unique())]
        names = {str(tier): f"{tier}: {words}" for tier, words in TIERS.items()}
        shown = bound.choices("Tier", "tier", tiers, shown=lambda tier: names.get(tier, tier))
        chosen["tier"] = [int(tier) for tier in shown]
    with columns[-1]:
        order = bound.choice("Order", "sort", _SORTS)
    frame = filtered(frame, chosen)
    if order == "rank":
        return frame
    rising = order in ("seconds", "trainable")
    return frame.sort_values(order, ascending=rising, kind="stable", na_position="last")


def _table(view: View, part: pd.DataFrame) -> None:
    numbers = [int(number) for number in part["trial"]]
    ticked = _ticked(view.study)
    positions = [place for place, number in enumerate(numbers) if number in ticked]
    key = _key(digest([view.name, numbers], 12), positions)
    selection: dict[str, Any] = {"selection": {"rows": positions}}
    options: dict[str, Any] = {"selection_default": selection} if _REMEMBERS else {}
    if _REMEMBERS and key in st.session_state:
        held = list(st.session_state[key]["selection"]["rows"])
        if sorted(held) != positions:
            # The address has changed by a link, or by going back.
            st.session_state[key] = selection
            del options["selection_default"]
    metric = view.study.metric
    tables.table(
        part.assign(
            value=tables.scaled(part["value"], metric),
            confirmed=tables.scaled(part["confirmed"], metric),
            trainable=100 * part["trainable"],
            bar=interval_bars(part),
            curve=_curves(view.study, numbers),
        )[list(_SHOWN)],
        key=key,
        height=min(38 + 35 * len(part), 640),
        on_select=lambda: _tick(key, numbers, ticked),
        selection_mode="multi-row",
        column_config=_columns(metric),
        **options,
    )


def _key(rows: str, positions: list[int]) -> str:
    """Another key makes another table.

    Streamlit keeps a selection by position, so that it would slip to another trial when a row
    comes in above it: where something is ticked, a table with other rows is another table, with
    its rows selected anew. With nothing ticked nothing can slip, and the same table is drawn
    faster.

    Args:
        rows: Tells apart what the rows are.
        positions: Rows that are to be ticked, ascending.
    """
    state = st.session_state.setdefault("ranking-table", {"rows": "", "turn": 0})
    key = f"ranking-{state['turn']}"
    held = sorted(st.session_state[key]["selection"]["rows"]) if key in st.session_state else []
    moved = rows != state["rows"] and bool(held or positions)
    stuck = not _REMEMBERS and bool(held) and held != positions
    state["rows"] = rows
    if moved or stuck:
        state["turn"] += 1
    return f"ranking-{state['turn']}"


def _curves(study: Snapshot, numbers: Sequence[int]) -> list[list[float]]:
    found = {one.number: [point.value for point in one.curve] for one in outcomes(study, numbers)}
    return [found.get(number, []) for number in numbers]


def _ticked(study: Snapshot) -> list[int]:
    """Trials that the address ticks, if the study has them."""
    return [number for number in address.numbers("ids") if number in study.by_number]


def _tick(key: str, numbers: Sequence[int], before: Sequence[int]) -> None:
    rows = list(st.session_state[key]["selection"]["rows"])
    here = [numbers[row] for row in rows if row < len(numbers)]
    ids = [number for number in before if number not in numbers or number in here]
    ids += [number for number in here if number not in ids]
    address.put(ids=",".join(map(str, ids)))


def _actions(view: View, frame: pd.DataFrame) -> None:
    ticked = _ticked(view.study)
    with st.container(horizontal=True, vertical_alignment="center"):
        if not ticked:
            st.text("Tick one trial to open it, or two to four to compare them.")
        elif len(ticked) == 1:
            number = ticked[0]
            label = f":material/open_in_new: Open trial {number}"
            places.link("trial", label, study=view.name, trial=number)
            st.text("or tick more to compare")
        elif len(ticked) <= MOST_TICKS:
            ids = ",".join(map(str, ticked))
            label = f":material/compare_arrows: Compare trials {', '.join(map(str, ticked))}"
            places.link("compare", label, study=view.name, ids=ids)
        else:
            st.text(f"{len(ticked)} are ticked; at most {MOST_TICKS} can be compared.")
        if ticked and st.button("Untick all"):
            address.put(ids=None)
            st.rerun()
        st.download_button(
            f"CSV of {counted(len(frame), 'trial')}",
            lambda: as_csv(frame).encode(),
            file_name=f"{view.study.name}-trials.csv",
            mime="text/csv",
            on_click="ignore",
        )


def _columns(metric: str) -> dict[str, Any]:
    column = st.column_config
    form = tables.number_format(metric)
    tiers = "; ".join(f"{tier}: {words}" for tier, words in TIERS.items())
    numbers = {
        "tier": ("tier", None, f"{tiers}."),
        "trial": ("trial", None, None),
        "value": (
            metric_words(metric),
            form,
            "On validation data, on which the ranking was also made: a little optimistic.",
        ),
        "confirmed": ("confirmed", form, "On fresh folds, of the finalists."),
        "seconds": ("seconds", "%.1f", None),
        "trainable": (
            "trainable",
            "%.2f %%",
            "Share of all parameters that the freeze strategy let train.",
        ),
        "rank": ("rank", None, "Within a tier it may be chance."),
    }
    texts = {
        "backbone": None,
        "head": None,
        "strategy": None,
        "state": None,
        "interval": "95 %, bootstrap over the validation samples.",
    }
    return {
        **{
            name: column.NumberColumn(label, format=form, help=words, width=_SHOWN[name])
            for name, (label, form, words) in numbers.items()
        },
        **{
            name: column.TextColumn(
                name if name != "interval" else "95 % interval", help=words, width=_SHOWN[name]
            )
            for name, words in texts.items()
        },
        "bar": column.ImageColumn("interval", width=_SHOWN["bar"]),
        "curve": column.LineChartColumn(
            "curve", help="The metric by epoch.", width=_SHOWN["curve"]
        ),
    }
