"""What Streamlit's test driver sees on a page."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from streamlit.testing.v1 import AppTest

RunPage = Callable[..., AppTest]


def texts(app: AppTest) -> str:
    """All that is written on the page but for tables."""
    kinds = (app.markdown, app.text, app.code, app.warning, app.error, app.info, app.caption)
    return "\n".join(
        [element.value for kind in kinds for element in kind]
        + [element.value for element in (*app.header, *app.subheader)]
    )


def sentence(app: AppTest) -> str:
    """The sentence that answers the question of the page."""
    return next(one.value for one in app.markdown if one.value.startswith("#### "))


def table(app: AppTest, column: str) -> pd.DataFrame:
    """The table that has this column."""
    return next(one.value for one in app.dataframe if column in one.value.columns)


def linked(app: AppTest) -> dict[str, str]:
    """Label of each link to a page, and what the address of that page would say."""
    return {one.proto.label: one.proto.query_string for one in app.get("page_link")}
