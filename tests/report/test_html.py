"""The HTML report: one file, no network, no script, and no name that is anything but text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.configuration import Configuration
from automl_transfer.jsonable import to_json
from automl_transfer.recommendation import ConfidentError
from automl_transfer.report.blocks import (
    Axis,
    Bullets,
    Chart,
    Column,
    Exhibit,
    Facts,
    Gallery,
    Heading,
    Listing,
    Paragraph,
    Series,
    Still,
    Table,
)
from automl_transfer.report.drawing import draw
from automl_transfer.report.html import render, to_html
from automl_transfer.report.material import Material, gather
from automl_transfer.report.text import plain
from automl_transfer.study import Study
from automl_transfer.testing.large_study import write_large_study
from tests.fabricated_study import CLASSES, HOSTILE, confirmed, loaded, outcome

ROWS = [outcome(0, 0.80), outcome(1, 0.92), outcome(2), outcome(3, 0.90)]
DOT = Still(media="image/gif", content=b"GIF89a\x01\x00\x01\x00\x00\x00\x00;")
TAGS = {
    *("html", "head", "meta", "title", "link", "style", "body", "a", "nav", "ul", "main", "h1"),
    *("p", "div", "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "li", "pre"),
    *("figure", "figcaption", "span"),
}
"""Of a document with every kind of block but charts."""
EVIL = (
    HOSTILE,
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "</style></svg><script>alert(2)</script>",
    "w" * 255,
)


class Reader(HTMLParser):
    """Takes a document apart, strictly: what is opened must be closed."""

    VOID = ("meta", "link", "img", "br", "use", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def material(rows=ROWS, classes=CLASSES, **changes) -> Material:
    return Material(
        recommendation=confirmed(rows, **changes),
        data=to_json(loaded(classes)),
        outcomes=rows,
        stills={"cat/1.png": DOT},
    )


@pytest.fixture(scope="module")
def text() -> str:
    return render(material())


def test_one_document_with_a_title_anchors_and_contents(text):
    read = Reader(text)
    assert text.startswith("<!DOCTYPE html>")
    assert len(read.all("h1")) == len(read.all("title")) == len(read.all("main")) == 1
    anchors = [attributes["id"] for attributes in read.all("h2")]
    assert anchors[:3] == ["answer", "finalists", "ranking"]
    links = [attributes["href"] for attributes in read.all("a")]
    assert links == ["#content", *(f"#{anchor}" for anchor in anchors)]


def test_ids_are_unique_and_references_lead_somewhere(text):
    read = Reader(text)
    ids = Counter(attributes["id"] for _, attributes in read.tags if attributes.get("id"))
    assert max(ids.values()) == 1
    said = {attributes.get("aria-describedby") for _, attributes in read.tags} - {None}
    drawn = {use["xlink:href"].removeprefix("#") for use in read.all("use")}
    cut = set(re.findall(r"url\(#([^)]+)\)", text))
    assert said and drawn and cut
    assert said | drawn | cut <= set(ids)


def test_it_needs_no_network_and_runs_no_script(text):
    read = Reader(text)
    (policy,) = (meta["content"] for meta in read.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert not read.all("script")
    assert not read.all("iframe")
    for _, attributes in read.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("#", "data:")), value
    assert "url(http" not in text
    assert "@import" not in text


def test_three_charts_with_words_for_those_who_cannot_see_them(text):
    read = Reader(text)
    charts = [one for one in read.all("div") if one.get("role") == "img"]
    titles = ["Score against latency", "Reliability diagram", "Learning curves"]
    assert [one["aria-label"] for one in charts] == titles
    assert len(read.all("svg")) == 3
    assert "currentColor" in text
    assert "<dc:date>" not in text
    assert "Each point is a finalist with its 95 % interval" in text


def test_errors_have_their_pictures_where_there_are_any(text):
    read = Reader(text)
    (shown,) = read.all("img")
    assert shown["src"].startswith("data:image/gif;base64,R0lGODlh")
    assert shown["alt"] == "cat/1.png"
    assert text.count("not shown") == 1
    odd = Still(media='text/html" onerror="alert(1)', content=b"x")
    made = render(replace(material(), stills={"cat/1.png": odd}))
    assert not Reader(made).all("img")


def test_equal_material_equal_bytes(text):
    assert render(material()) == text


@pytest.mark.parametrize("name", EVIL, ids=["escapes", "markup", "template", "ends", "long"])
def test_hostile_names_are_text(name, text):
    evil = Configuration(backbone=name, head=name, strategy=name, params={name: name})
    rows = [outcome(number, 0.9 - number / 50, configuration=evil) for number in range(3)]
    classes = (name, "a|b", "plain")
    answer = material(
        rows, classes, study=name, notes=(name,), command=name, provenance={name: name}
    )
    test = replace(
        answer.recommendation.test,
        errors=(ConfidentError(source=name, true=0, predicted=1, confidence=0.9),),
    )
    made = render(
        replace(
            answer,
            recommendation=replace(answer.recommendation, test=test),
            stills={name: DOT},
        )
    )
    read = Reader(made)
    assert {tag for tag, _ in read.tags} <= {tag for tag, _ in Reader(text).tags}
    assert not [key for _, attributes in read.tags for key in attributes if key.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", made)
    shown = "".join(read.words)
    if name is not HOSTILE:
        assert shown.count(name) > 10
    assert "49" not in re.sub(r"<svg.*?</svg>", "", made, flags=re.DOTALL).replace("&#", "")


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_is_shown_as_it_is_made_plain(name):
    table = Table(columns=(Column(name=name),), rows=((name,),))
    facts, bullets = Facts(items=((name, name),)), Bullets(items=(name,))
    blocks = [Heading(text=name, level=1), Paragraph(text=name), table, facts, bullets]
    made = to_html(
        [*blocks, Listing(text=name), Gallery(exhibits=(Exhibit(name=name, words="w"),))]
    )
    read = Reader(made)
    shown = [words for words in read.words if words.strip()]
    if plain(name):
        assert shown.count(plain(name)) >= 7
    assert not read.all("script")
    assert {tag for tag, _ in read.tags} <= TAGS


def test_headings_of_equal_text_have_anchors_of_their_own():
    made = to_html([Heading(text="Grüße!"), Paragraph(text="x"), Heading(text="gr-e")])
    anchors = [one["id"] for one in Reader(made).all("h2")]
    assert anchors == ["gr-e", "gr-e-2"]


def chart(**changes) -> Chart:
    series = Series(
        name="<b>$x$</b>", kind="points", x=(1.0, 10.0), y=(0.5, 0.75), marks=("1", "2")
    )
    usual = Chart(
        title="t",
        description="d",
        x=Axis(name="time"),
        y=Axis(name="accuracy", share=True),
        series=(series,),
    )
    return replace(usual, **changes)


def test_a_drawing_has_ids_of_its_own_and_no_name_of_a_series():
    first, second = draw(chart(), "a"), draw(chart(), "b")
    assert first.startswith("<svg")
    assert first.replace('"a-', '"b-').replace("#a-", "#b-") == second
    assert "$x$" not in first
    assert "accuracy" in first
    assert re.search(r"\b[5-7]\d(\.\d)? %", re.sub("<[^>]*>", "", first))


def test_a_drawing_on_a_logarithmic_axis_with_intervals():
    series = Series(
        name="s", kind="line", x=(1.0, 100.0), y=(-0.5, 0.1), low=(-0.6, 0.0), high=(-0.4, 0.2)
    )
    drawn = draw(chart(x=Axis(name="ms", logarithmic=True), series=(series,)), "a")
    assert "LineCollection" in drawn  # the intervals
    assert "100" in re.sub("<[^>]*>", " ", drawn).split()


def test_a_series_refuses_figures_that_do_not_fit():
    with pytest.raises(ValueError, match="as many figures in each direction, but 's' has 2 and 1"):
        Series(name="s", kind="line", x=(1.0, 2.0), y=(1.0,))
    with pytest.raises(ValueError, match="has 1 and 2"):
        Series(name="s", kind="line", x=(1.0,), y=(1.0,), low=(0.0, 1.0))


def test_two_thousand_trials_fit_into_two_megabytes(tmp_path: Path) -> None:
    study = Study(write_large_study(tmp_path, "large", 2000))
    answer = study.recommendation
    assert answer is not None
    errors = tuple(
        ConfidentError(source=f"cat/{n}.png", true=0, predicted=1, confidence=0.9)
        for n in range(24)
    )
    answer = replace(answer, test=replace(answer.test, errors=errors))
    content = bytes(range(256)) * 100
    stills = {row.source: Still(media="image/jpeg", content=content) for row in errors}
    page = render(gather(answer, study.document, study.trials, stills))
    study.close()
    assert page.count("data:image/jpeg") == 24
    for said in ("Use made/net5", "The first 20 of", "Finalists"):
        assert said in page
    assert len(page.encode()) < 2_000_000
