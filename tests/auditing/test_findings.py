"""What is said of names, labels, ids and parts alone."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from automl_transfer.audit import EXAMPLES, SEVERITIES, SOURCES, Audit, Finding, examples
from automl_transfer.auditing import Audited, audit_dataset, unusable
from automl_transfer.auditing.clusters import cluster
from automl_transfer.auditing.labels import suspects
from automl_transfer.auditing.naming import spelling
from automl_transfer.auditing.neighbours import close_codes
from automl_transfer.contracts import Examined
from automl_transfer.dataset import DataOptions, Dataset, Quarantined, Sample
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.testing.toy import ToyModality, write_toy_data


class Plain:
    """A modality that sees nothing in its samples."""


class Seeing:
    """A modality that has found near copies."""

    raw_input: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, pairs=(), distances=(), error: Exception | None = None) -> None:
        self.pairs = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        self.distances = np.array(distances or [0.5] * len(self.pairs), dtype=np.float64)
        self.error = error

    def examine(self, dataset, rows, progress=None) -> Examined:
        if self.error is not None:
            raise self.error
        return Examined(looked_for=("odd things",), pairs=self.pairs, distances=self.distances)


def data(rows: list[tuple[str, int, str | None]], classes=("a", "b"), **other) -> Dataset:
    return Dataset(
        modality="any",
        root="",
        classes=tuple(classes),
        samples=tuple(
            Sample(id=id, source=f"s{place}", label=label, part=part)
            for place, (id, label, part) in enumerate(rows)
        ),
        layout="rows",
        **other,
    )


def many(counts=(30, 30), parts=(None,)) -> list[tuple[str, int, str | None]]:
    return [
        (f"{part}{label}{place}", label, part)
        for part in parts
        for label, count in enumerate(counts)
        for place in range(count)
    ]


def audited(dataset: Dataset, modality: object | None = None) -> Audited:
    return audit_dataset(dataset, modality or Plain(), lambda positions: positions)


def kinds(dataset: Dataset, modality: object | None = None) -> dict[str, Finding]:
    return {one.kind: one for one in audited(dataset, modality).audit.findings}


def test_ordinary_data_raise_nothing():
    found = audited(data(many()))
    assert found.audit.findings == ()
    assert found.audit.worst is None
    assert found.audit.samples == 60
    assert "imbalance" in found.audit.looked_for
    assert found.clusters.tolist() == list(range(60))


def test_copies_within_across_classes_and_across_parts():
    rows = many(parts=("train", "test"))
    rows += [("train00", 0, "train"), ("train01", 1, "train"), ("train02", 0, "test")]
    found = kinds(data(rows))
    assert found["copies"].count == 3
    assert found["copies"].severity == "info"
    conflict = found["copies-across-classes"]
    assert (conflict.severity, conflict.count) == ("error", 1)
    assert conflict.examples[0].sources == ("s1", "s121")
    assert conflict.examples[0].words == "'a' and 'b'"
    leak = found["copies-across-parts"]
    assert (leak.severity, leak.count) == ("warning", 1)
    assert leak.examples[0].words == "train and test"


def test_a_content_in_three_parts_is_moved_to_the_last():
    rows = [
        *many(parts=("train", "val", "test")),
        *(("x", 0, p) for p in ("train", "val", "test")),
    ]
    assert kinds(data(rows))["copies-across-parts"].count == 2


def test_tiny_empty_and_unbalanced_classes():
    dataset = data(many((100, 12)), empty_classes=("nothing",), classes=("large", "small"))
    found = kinds(dataset)
    assert found["tiny-classes"].examples[0].words == "'small' has 12 different samples"
    assert found["empty-classes"].examples[0].sources == ("nothing",)
    assert found["imbalance"].severity == "info"
    assert found["imbalance"].action.startswith("the metric is balanced accuracy")
    assert kinds(data(many((400, 30))))["imbalance"].severity == "warning"
    assert "imbalance" not in kinds(data(many((90, 30))))


def test_copies_make_no_class_larger():
    rows = [*many((40, 15)), *[("None10", 1, None)] * 10]
    assert kinds(data(rows))["tiny-classes"].examples[0].words == "'b' has 15 different samples"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cat"),
        ("tabby cat", "tabby  cat "),
        ("tabby cat", "tabbycat"),
        ("caf\u00e9", "cafe\u0301"),
        ("cat", "c\u200bat"),
        ("stra\u00dfe", "STRASSE"),
        ("\uff21", "A"),
    ],
)
def test_names_that_are_spelt_alike(one, other):
    found = kinds(data(many((30, 30, 30)), classes=(one, "dog", other)))
    finding = found["classes-spelt-alike"]
    assert finding.count == 2
    # Names that look the same on a screen must not look the same here.
    assert finding.examples[0].words == f"{one!a} and {other!a}"


def test_different_names_are_not_alike():
    assert len({spelling(name) for name in ("cat", "cats", "ca-t", "c a t s", "kat")}) == 4


def test_classes_that_a_part_lacks():
    rows = [*many((30, 30), ("train",)), *many((30,), ("test",)), *many((30, 30), ("val",))]
    finding = kinds(data(rows))["classes-missing-from-part"]
    assert finding.count == 1
    assert [one.words for one in finding.examples] == ["'b' does not occur in the test part"]
    only = kinds(data([*many((30,), ("train",)), *many((30, 30), ("test",))]))
    assert only["classes-only-held-out"].severity == "error"
    assert not kinds(data(many())).keys() & {"classes-missing-from-part"}


def test_items_that_cannot_be_used_are_told_by_their_kind():
    broken = (
        Quarantined(source="x", reason="it stops after 3 of 10 bytes", kind="cut off"),
        Quarantined(source="y", reason="it stops after 4 of 10 bytes", kind="cut off"),
        Quarantined(source="1", reason="an earlier row labels the same file 'a', this one 'b'"),
        Quarantined(source="2", reason="an earlier row labels the same file 'c', this one 'd'"),
    )
    found = kinds(data(many(), quarantined=broken))
    assert found["unreadable: cut off"].count == 2
    assert found["unreadable: cut off"].action == "left out"
    assert found["unreadable: an earlier row labels the same file …, this one …"].count == 2


def test_near_copies_are_kept_together_and_told():
    dataset = data(many())
    found = audited(dataset, Seeing([(0, 1), (1, 2), (3, 30)]))
    by_kind = {one.kind: one for one in found.audit.findings}
    assert by_kind["near-copies"].count == 5
    assert by_kind["near-copies-across-classes"].examples[0].sources == ("s3", "s30")
    assert by_kind["near-copies-across-classes"].severity == "warning"
    clusters = found.clusters
    assert clusters[0] == clusters[1] == clusters[2] != clusters[3] == clusters[30]
    assert len(set(clusters.tolist())) == 57
    assert "odd things" in found.audit.looked_for


def test_near_copies_across_given_parts_say_what_a_score_is_worth():
    dataset = data(many((50, 50), ("train", "test")))
    finding = kinds(dataset, Seeing([(0, 100), (1, 101), (2, 3)]))["near-copies-test-in-train"]
    assert finding.count == 2
    assert finding.examples[0].sources == ("s100", "s0")
    assert "by up to 2.0 points" in finding.action
    assert "near-copies-val-in-train" not in kinds(dataset, Seeing([(0, 100)]))
    drawn = data(many((50, 50)))
    assert "near-copies-test-in-train" not in kinds(drawn, Seeing([(0, 60)]))


def test_without_a_look_into_samples_equal_content_belongs_together():
    found = audited(data([*many(), ("None00", 0, None)]))
    assert found.clusters[0] == found.clusters[60]
    assert len(set(found.clusters.tolist())) == 60
    assert not any("near" in text for text in found.audit.looked_for)


def test_a_modality_that_fails_costs_only_its_own_findings():
    found = audited(data([*many(), ("None00", 1, None)]), Seeing(error=RuntimeError("no eyes")))
    by_kind = {one.kind: one for one in found.audit.findings}
    assert by_kind["not-examined"].examples[0].words == "RuntimeError: no eyes"
    assert "copies-across-classes" in by_kind


def test_the_toy_modality_is_audited(tmp_path):
    path = write_toy_data(tmp_path / "x.toy.csv", n=90)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[0], "class1,broken"]) + "\n")
    dataset = ToyModality().open(path, DataOptions())
    found = kinds(dataset, ToyModality())
    assert found["copies"].count == 1
    assert [kind for kind in found if kind.startswith("unreadable")]


def test_a_chain_cannot_swallow_the_data():
    n = 400
    chain = [(place, place + 1) for place in range(n - 1)]
    # Every tenth link is longer than the others.
    distances = [0.9 if place % 10 == 9 else 0.1 for place in range(n - 1)]
    found = cluster([str(place) for place in range(n)], np.array(chain), np.array(distances))
    sizes = np.bincount(found.numbers)
    assert sizes.max() == 10
    assert found.torn == n
    equal = cluster([str(place) for place in range(n)], np.array(chain), np.full(n - 1, 0.001))
    assert np.bincount(equal.numbers).max() == 1
    assert equal.torn == n


def test_equal_content_is_never_torn():
    found = cluster(["same"] * 300 + ["x", "y"], np.array([(0, 300)]), np.array([0.5]))
    assert len(set(found.numbers[:301].tolist())) == 1
    assert found.torn == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12), st.randoms())
def test_clusters_do_not_depend_on_the_order_of_pairs(pairs, random):
    ids = [str(place // 2) for place in range(10)]
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    shuffled = list(pairs)
    random.shuffle(shuffled)
    other = np.array(shuffled, dtype=np.int64).reshape(-1, 2)[:, ::-1]
    one = cluster(ids, array, np.full(len(array), 0.5)).numbers
    assert one.tolist() == cluster(ids, other, np.full(len(other), 0.5)).numbers.tolist()
    assert all(one[place] == one[place + 1] for place in range(0, 10, 2))
    assert all(one[a] == one[b] for a, b in pairs)


def test_close_codes_are_all_found_when_there_are_few():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 2**64, 500, dtype=np.uint64)
    codes[100:200] = codes[:100] ^ (
        np.uint64(1) << generator.integers(0, 64, 100, dtype=np.uint64)
    )
    found = close_codes(codes, 12)
    differ = np.bitwise_count(codes[:, None] ^ codes[None])
    expected = np.argwhere(np.triu(differ <= 12, 1))
    assert found.tolist() == expected.tolist()
    assert len(found) >= 100


def test_close_codes_among_many_are_found_in_short_time():
    generator = np.random.default_rng(1)
    n = 60_000
    codes = generator.integers(0, 2**64, n, dtype=np.uint64)
    planted = np.arange(0, 2000, 2)
    for _ in range(8):
        codes[planted + 1] = (
            codes[planted]
            if _ == 0
            else codes[planted + 1]
            ^ (np.uint64(1) << generator.integers(0, 64, len(planted), dtype=np.uint64))
        )
    found = {tuple(pair) for pair in close_codes(codes, 12).tolist()}
    hit = sum((place, place + 1) in found for place in planted.tolist())
    assert hit >= 0.99 * len(planted)


@pytest.mark.parametrize("n", [500, 20_000])
def test_of_too_many_close_codes_the_closest_are_kept(n: int):
    """Few codes are compared each with each, many in sorted orders whose pairs are joined."""
    generator = np.random.default_rng(2)
    codes = generator.integers(0, 2**20, n, dtype=np.uint64)
    every = close_codes(codes, 3)
    bits = np.bitwise_count(codes[every[:, 0]] ^ codes[every[:, 1]])
    most = len(every) // 10
    expected = every[np.sort(np.argsort(bits, kind="stable")[:most])]
    assert most >= 10
    assert close_codes(codes, 3, most).tolist() == expected.tolist()
    assert close_codes(codes, 3, len(every)).tolist() == every.tolist()


def test_pairs_of_many_orders_take_memory_for_what_is_kept_of_them():
    generator = np.random.default_rng(3)
    codes = generator.integers(0, 2**12, 20_000, dtype=np.uint64)
    tracemalloc.start()
    try:
        found = close_codes(codes, 12, 20_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 20_000
    # The pairs of all orders are 64 times 16 for each code.
    assert peak < 0.5 * 64 * 16 * 20_000 * 8  # bytes


def test_very_many_equal_codes_are_linked_not_listed():
    codes = np.full(6000, 7, dtype=np.uint64)
    found = close_codes(codes, 4)
    assert len(found) < 6000 * 6000 // 4
    linked = coo_matrix((np.ones(len(found)), found.T), shape=(6000, 6000))
    assert connected_components(linked, directed=False)[0] == 1


def test_nothing_has_no_neighbours():
    assert close_codes(np.empty(0, dtype=np.uint64), 3).shape == (0, 2)
    assert close_codes(np.zeros(1, dtype=np.uint64), 3).shape == (0, 2)


def test_flipped_labels_are_suspected():
    generator = np.random.default_rng(0)
    true = np.repeat(np.arange(4), 100)
    scores = generator.normal(size=(400, 4)) * 0.4
    scores[np.arange(400), true] += 3
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    labels = true.copy()
    flipped = generator.choice(400, 12, replace=False)
    labels[flipped] = (true[flipped] + 1) % 4
    found = suspects(probabilities, labels)
    assert {one.position for one in found} <= set(flipped.tolist())
    assert len(found) >= 9
    assert all(one.suggested == true[one.position] for one in found)
    margins = [one.margin for one in found]
    assert margins == sorted(margins, reverse=True)


def test_a_class_that_the_model_always_doubts_is_not_suspected():
    """A plain argmax would suspect all of class 1, of which the model is never sure."""
    labels = np.repeat([0, 1], 50)
    probabilities = np.where(labels[:, None] == 0, [0.95, 0.05], [0.55, 0.45])
    assert (probabilities.argmax(1) != labels).sum() == 50
    assert suspects(probabilities, labels) == []


def test_classes_without_samples_are_never_suggested():
    labels = np.zeros(10, dtype=np.int64)
    probabilities = np.tile([0.2, 0.8], (10, 1))
    assert suspects(probabilities, labels) == []
    assert suspects(np.empty((0, 3)), np.empty(0, dtype=np.int64)) == []


FINDINGS = st.builds(
    Finding,
    kind=st.sampled_from(["x", "y", "z"]),
    severity=st.sampled_from(SEVERITIES),
    title=st.text(max_size=5),
    count=st.integers(0, 9),
    examples=st.just(examples([(("a", "b"), "words")])),
    action=st.just(""),
)


@given(st.lists(FINDINGS, max_size=6))
def test_audits_keep_a_fixed_order_through_json(findings):
    audit = Audit.of(samples=3, looked_for=("x",), findings=findings)
    again = from_json(Audit, to_json(audit))
    assert again == audit
    ranks = [SEVERITIES.index(one.severity) for one in audit.findings]
    assert ranks == sorted(ranks)
    for severity in SEVERITIES:
        wanted = SEVERITIES[: SEVERITIES.index(severity) + 1]
        assert audit.reaches(severity) == any(one.severity in wanted for one in findings)


def test_examples_are_few():
    found = examples(([f"{i}{j}" for j in range(9)], "w") for i in range(100))
    assert len(found) == EXAMPLES
    assert len(found[0].sources) == SOURCES
    assert found[0].words == "w, and 5 more"


def test_a_later_finding_takes_the_place_of_an_earlier_one():
    late = Finding(kind="late", severity="warning", title="2 of them", count=2, action="")
    first = audited(data(many())).audit.with_finding(replace(late, count=1), "late things")
    second = first.with_finding(late, "late things")
    assert [one.count for one in second.findings] == [2]
    assert second.looked_for.count("late things") == 1
    assert second.without("late", "late things").findings == ()


def test_data_that_cannot_be_opened_are_an_error():
    found = unusable("no classes")
    assert found.worst == "error"
    assert found.findings[0].examples[0].words == "no classes"
