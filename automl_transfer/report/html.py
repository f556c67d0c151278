"""A report as one HTML file that needs no network and runs no script.

Names of classes, files and plugins are made plain (no control characters, none that turn the
direction of writing), and then escaped by the template. The policy in the head of the file lets a
browser load nothing, so that not even a mistake here could send something away.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from automl_transfer.report.blocks import Block, Chart, Heading, Still
from automl_transfer.report.complete import report_blocks
from automl_transfer.report.drawing import colour, draw
from automl_transfer.report.material import Material
from automl_transfer.report.text import plain, plain_lines

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

_SHOWN = re.compile(r"[a-z]+/[a-z0-9.+-]+")


def render(material: Material) -> str:
    """The whole report of a study."""
    return to_html(report_blocks(material))


def to_html(blocks: Iterable[Block]) -> str:
    """Blocks as an HTML document; the heading of level 1 is its title."""
    listed = list(blocks)
    anchors = _anchors(listed)
    title = next((b.text for b in listed if isinstance(b, Heading) and b.level == 1), "Report")
    contents = [
        (anchors[place], block.text)
        for place, block in enumerate(listed)
        if isinstance(block, Heading) and block.level == 2
    ]
    return _template().render(
        title=title,
        blocks=[(type(block).__name__, block, anchors[at]) for at, block in enumerate(listed)],
        contents=contents,
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def drawn(chart: Chart, name: str) -> Markup:
        return Markup(draw(chart, name))  # it has no text from outside

    environment = Environment(
        loader=PackageLoader("automl_transfer.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": plain,
        "plain_lines": plain_lines,
        "drawn": drawn,
        "colour": colour,
        "address": _address,
    }
    return environment.get_template("report.html")


def _address(still: Still) -> str:
    """The content itself as an address; empty for a media type that is none."""
    if not _SHOWN.fullmatch(still.media):
        return ""
    return f"data:{still.media};base64,{base64.b64encode(still.content).decode('ascii')}"


def _anchors(blocks: list[Block]) -> list[str]:
    """A name within the document for each block."""
    seen: Counter[str] = Counter()
    names = []
    for block in blocks:
        text = block.text if isinstance(block, Heading) and block.level > 1 else "part"
        name = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-") or "part"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names
