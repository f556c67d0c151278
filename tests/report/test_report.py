"""The report: what it says, and that no name can change what it says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from automl_transfer.configuration import Configuration
from automl_transfer.jsonable import to_json
from automl_transfer.recommendation import Baseline, Interval
from automl_transfer.report.blocks import Column, Listing, Table
from automl_transfer.report.figures import (
    amount,
    difference,
    differences,
    duration,
    interval,
    latency,
    rate,
    room,
    score,
    share,
    took,
)
from automl_transfer.report.held_out import held_out_section
from automl_transfer.report.markdown import escape, render, to_markdown
from automl_transfer.report.material import Material
from automl_transfer.report.ranking import is_final, within_reach
from automl_transfer.report.text import REPLACEMENT, plain, plain_lines
from automl_transfer.report.trial import sparkline
from tests.fabricated_study import CLASSES, HOSTILE, loaded, outcome, recommendation

ROWS = [outcome(0, 0.80), outcome(1, 0.92), outcome(2), outcome(3, 0.90)]


def rendered(classes=CLASSES, rows=ROWS, quarantined=2, **changes) -> str:
    answer = recommendation(rows, classes, **changes)
    data = to_json(replace(loaded(classes), quarantined=quarantined))
    return render(Material(recommendation=answer, data=data))


def cells(text: str, first: str) -> list[str]:
    """The row of a table that begins with ``first``."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {first} ")]
    assert len(rows) == 1, rows
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", rows[0])[1:-1]]


def test_the_answer_comes_first_with_the_test_score_beside_the_baselines():
    text = rendered()
    headings = re.findall("^## (.*)$", text, re.MULTILINE)
    assert headings == [
        "Answer",
        "Ranking",
        "The winner on the test part",
        "Cost",
        "Why not",
        "Notes",
        "How to repeat it",
    ]
    assert (
        "**Use acme/big with the head linear and the freeze strategy full: 91.0 % accuracy (85.0 "
        "to 95.0 %) on 30 samples that the search never saw.**"
    ) in text
    assert cells(text, "the winner on the test part (30 samples)") == [
        "the winner on the test part (30 samples)",
        "91.0 %",
        "85.0 to 95.0 %",
        "the search never saw it",
    ]
    assert cells(text, "the winner on the validation part")[1:] == [
        "92.0 %",
        "87.0 to 97.0 %",
        "optimistic: it was chosen on this",
    ]
    assert cells(text, "majority class, on the test part")[1:] == ["34.0 %", "–", "always 'cat'"]
    assert cells(text, "kNN on raw inputs, on the test part")[1] == "50.0 %"
    assert cells(text, "kNN on frozen features, on the test part")[1] == "80.0 %"


def test_cost_why_not_notes_and_the_command():
    text = rendered()
    assert cells(text, "the whole search")[1] == "1m 35s"
    assert cells(text, "trials")[1] == "3 finished, 0 pruned, 1 failed"
    assert cells(text, "parameters that the winner trained")[1] == "12.8k of 3.4M"
    assert cells(text, "timm/huge")[1] == "more than --max-params"
    assert "- Two files were skipped.\n- 2 items could not be read and were left out" in text
    assert "automl-transfer search --data /data/pets --study finished --budget 5m" in text
    assert cells(text, "versions, python")[1] == "3.11"


def test_the_ranking_says_that_it_is_optimistic_and_how_close_the_others_are():
    text = rendered()
    assert "they are optimistic, the more so the more trials there were" in text
    assert "1 other trial lies inside the winner's interval" in text
    assert within_reach(recommendation([outcome(0, 0.5), outcome(1, 0.9)])) == 0
    many = rendered(rows=[outcome(number, 0.5 + number / 100) for number in range(25)])
    assert "The first 20 of 25 finished trials." in many
    assert len(re.findall(r"^\| \d+ \| acme/", many, re.MULTILINE)) == 20


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (0.84, None),
        (0.86, "The winner is not clearly better than the baseline kNN (86.0 %; the winner's"),
        (0.93, "The winner scored below the baseline kNN (93.0 %; the winner's interval is 85.0"),
        (0.97, "The winner is clearly worse than the baseline kNN (97.0 %; the winner's interval"),
    ],
)
def test_a_winner_that_is_not_clearly_better_than_a_baseline_is_called_so(value, verdict):
    text = rendered(baselines=(Baseline(name="kNN", description="", value=value),))
    assert verdict in text if verdict else "the baseline kNN" not in text


def test_a_test_part_that_was_opened_before_is_said():
    test = replace(recommendation(ROWS).test, openings=3)
    assert "scored 3 times in this study" in rendered(test=test)


def test_the_report_works_without_what_is_not_known():
    bare = recommendation(
        [outcome(0, 0.8, proof=None)],
        notes=(),
        why_not=(),
        provenance={},
        command="",
        baselines=(),
    )
    winner = replace(bare.winner, interval=None, total_parameters=0)
    text = render(Material(recommendation=replace(bare, winner=winner, ranking=(winner,))))
    assert "## Notes" not in text
    assert "Nothing that was asked for was left out." in text
    assert "None" not in text


def test_the_confusion_matrix_is_shown_up_to_twenty_classes():
    text = rendered()
    assert "| true | cat | dog | owl |" in text
    assert "| dog | 1 | 9 | 1 |" in text
    many = tuple(f"class{number}" for number in range(21))
    assert "The confusion matrix of 21 classes is in recommendation.json" in rendered(many)
    assert "| true | class0 |" not in rendered(many)
    test = recommendation(ROWS, many).test
    torn = tuple(
        tuple(7 if (row, column) == (3, 20) else number for column, number in enumerate(numbers))
        for row, numbers in enumerate(test.confusion)
    )
    text = rendered(many, test=replace(test, confusion=torn))
    assert "| true | predicted | samples |\n| --- | --- | ---: |\n| class3 | class20 | 7 |" in text
    assert "| true | class0 |" in rendered(many[:20])


def test_a_class_named_like_a_row_of_the_classification_report_loses_nothing():
    test = recommendation(ROWS, ("cat", "accuracy")).test  # scikit-learn's dictionary merges them
    blocks = held_out_section(test, ("cat", "accuracy"))
    assert Listing(text=test.report_text) in blocks


def test_hostile_names_are_inert_in_markdown():
    evil = Configuration(backbone=HOSTILE, head="a|b", strategy="www.evil.example")
    text = rendered(
        (HOSTILE, "a|b", "[x](http://evil.example)"),
        [outcome(0, 0.9, configuration=evil)],
        notes=(HOSTILE, "1. one", "# heading"),
        command="```\n# heading",
    )
    outside = re.sub(r"^(`{3,})text\n.*?\n\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert outside != text
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    assert not re.search(r"(?<!\\)[<>`\[]", outside)
    assert not re.search(r"(?<!\\)://|www\.", outside)
    titles = re.findall("^#+ (.*)$", outside, re.MULTILINE)
    assert titles[0] == "Study finished"
    assert len(titles) == 8
    widths: dict[int, set[int]] = {}
    for number, block in enumerate(outside.split("\n\n")):
        for line in block.splitlines():
            if line.startswith("|"):
                widths.setdefault(number, set()).add(len(re.findall(r"(?<!\\)\|", line)))
    assert widths
    assert all(len(found) == 1 for found in widths.values())  # no name adds a cell or a row


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a_b*c", r"a\_b\*c"),
        ("- item", r"\- item"),
        ("12. item", r"12\. item"),
        ("91.7 %", "91.7 %"),
        ("-0.213", "-0.213"),
        ("---", r"\---"),
        ("a\n# b", r"a \# b"),
        ("http://x.y", r"http\://x.y"),
        ("@all &lt;", r"\@all \&lt;"),
    ],
)
def test_escaping(text, safe):
    assert escape(text) == safe


def test_a_fence_is_longer_than_what_is_inside():
    assert to_markdown([Listing(text="a\n````\nb")]) == "`````text\na\n````\nb\n`````\n"


def test_a_table_refuses_a_row_of_another_width():
    with pytest.raises(ValueError, match=r"A row must have 1 cells, but got 2"):
        Table(columns=(Column(name="a"),), rows=(("1", "2"),))


@pytest.mark.parametrize("char", ["\x1b", "\x00", "\x7f", "\x9b", "\u202e", "\u2066", "\udcff"])
def test_plain_takes_away_what_cannot_be_printed(char):
    assert plain(f"a{char}b") == f"a{REPLACEMENT}b"
    assert plain_lines(f"  a{char}\n b") == f"  a{REPLACEMENT}\n b"


def test_plain_is_one_line_and_keeps_letters():
    assert plain("  Grüße,\r\n\u2028\t世界\u00a0é ") == "Grüße, 世界 é"


def test_figures():
    assert score("accuracy", 0.9406) == "94.1 %"
    assert score("neg_log_loss", -0.2134) == "-0.213"
    assert interval("accuracy", Interval(low=0.5, high=0.75)) == "50.0 to 75.0 %"
    assert interval("neg_log_loss", Interval(low=-0.5, high=-0.25)) == "-0.500 to -0.250"
    assert (amount(512), amount(12_800), amount(3_412_345)) == ("512", "12.8k", "3.41M")
    assert (duration(0.42), duration(42.0), duration(5400.0)) == ("0.4s", "42s", "1h 30m")
    assert (took(0.0), took(0.2), took(42.0)) == ("< 0.1s", "0.2s", "42s")
    assert (latency(0.00312), latency(0.128), latency(2.0)) == ("3.1 ms", "128 ms", "2.0 s")
    assert (rate(0.0), rate(0.16), rate(38.2), rate(4123)) == ("–", "0.16/s", "38/s", "4,100/s")
    assert (room(512), room(13_600_000), room(2 * 10**9)) == ("512 B", "13.6 MB", "2 GB")
    assert (share(0.0), share(0.004), share(0.62), share(0.995)) == (
        "0 %",
        "< 1 %",
        "62 %",
        "> 99 %",
    )
    assert difference("accuracy", 0.018) == "1.8 points"
    assert difference("neg_log_loss", 0.018, sign=True) == "+0.018"
    assert differences("accuracy", Interval(low=-0.005, high=0.02)) == "-0.5 to 2.0 points"


def test_sparkline():
    assert sparkline([]) == ""
    assert sparkline([0.0, 1.0, 0.5, 0.25]) == "▁█▅▃"
    assert len(set(sparkline([0.3, 0.3, 0.3]))) == 1


def test_an_answer_is_final_when_it_ranks_every_finished_trial():
    assert not is_final(None, ROWS)
    assert is_final(recommendation(ROWS), ROWS)
    assert not is_final(recommendation(ROWS), [*ROWS, outcome(9, 0.1)])
    assert is_final(recommendation(ROWS), [*ROWS, outcome(9)])
