"""What is around every page: the study, the way to the other pages, and how the search stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from automl_transfer.dashboard import address, cached, places, status, studies_page
from automl_transfer.dashboard.guarded import fragment, guarded
from automl_transfer.dashboard.places import PAGES, Place
from automl_transfer.dashboard.snapshot import Snapshot, Unreadable
from automl_transfer.dashboard.wording import code_span, plain, printable
from automl_transfer.errors import StudyError

IDLE = "15s"
"""How often a page looks whether a study can be read again."""
_ALL = "All studies"


@dataclass(frozen=True, kw_only=True)
class View:
    """What a page draws."""

    name: str
    """Of the study, as its address has it."""
    study: Snapshot

    @property
    def directory(self) -> Path:
        """Where the study lies."""
        return self.study.directory


def main() -> None:
    """Draws the page that the address in the browser asks for."""
    st.set_page_config(page_title="automl-transfer", layout="wide")
    st.navigation(places.pages(), position="hidden").run()


def show(place: Place, draw: Callable[[View], None]) -> None:
    """Draws a page about one study, or says why there is none.

    Args:
        place: Which page.
        draw: Draws its content.
    """
    root = address.studies_directory()
    found = _listed(root)
    if found is None:
        return
    name = _chosen(found)
    _top(place, found, name)
    if name is None:
        _unknown()
        studies_page.draw(root, found, place)
        return
    study = cached.snapshot(found[name])
    if isinstance(study, Unreadable):
        st.error("This study cannot be read.")
        st.code(printable(study.reason), language=None, wrap_lines=True)
        fragment("The study", lambda: _recovered(found[name]), every=IDLE)
        return
    guarded("How the search stands", lambda: status.show(study))
    guarded("This page", lambda: draw(View(name=name, study=study)))


def show_studies() -> None:
    """Draws the list of studies."""
    root = address.studies_directory()
    found = _listed(root)
    if found is not None:
        _top("studies", found, None)
        studies_page.draw(root, found, "verdict")


def _listed(root: Path) -> dict[str, Path] | None:
    try:
        return cached.listed(root)
    except StudyError as error:
        st.title("automl-transfer", anchor=False)
        st.error("The studies cannot be listed.")
        st.code(printable(error), language=None, wrap_lines=True)
        return None


def _chosen(found: dict[str, Path]) -> str | None:
    """The study that the address names, or the only one."""
    wanted = address.text("study")
    if wanted is None and len(found) == 1:
        return next(iter(found))
    return wanted if wanted in found else None


def _unknown() -> None:
    wanted = address.text("study")
    if wanted is not None:
        st.warning(
            f"There is no study {code_span(wanted)} here. The address may be of another "
            "directory, or the study was renamed or removed."
        )


def _top(place: Place, found: dict[str, Path], name: str | None) -> None:
    title, switch = st.columns([3, 2], vertical_alignment="bottom")
    title.caption("automl-transfer")
    title.header(code_span(name) if name is not None else "Studies", anchor=False)
    if found:
        _switch(switch, place, list(found), name)
    if name is not None:
        with st.container(horizontal=True):
            for other in PAGES:
                if other != "trial":
                    places.link(other, **({} if other == "studies" else {"study": name}))


def _switch(
    column: st.delta_generator.DeltaGenerator, place: Place, names: list[str], name: str | None
) -> None:
    options = [_ALL, *names]
    # Another study in the address makes another widget, so that the two never disagree.
    key = f"study-of-{name or ''}"
    chosen = column.selectbox(
        "Study",
        options,
        index=options.index(name) if name is not None else 0,
        key=key,
        format_func=plain,
    )
    if chosen == _ALL and name is not None:
        places.go("studies")
    elif chosen not in (_ALL, name):
        # Trials and samples of one study mean nothing in another.
        stays = place not in ("studies", "trial", "compare")
        places.go(place if stays else "verdict", study=str(chosen))


def _recovered(directory: Path) -> None:
    if isinstance(cached.snapshot(directory), Snapshot):
        st.rerun()
