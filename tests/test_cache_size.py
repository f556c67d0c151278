"""How much the caches may take is asked for in bytes, and changes nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from automl_transfer.cli import main
from automl_transfer.errors import UsageError
from automl_transfer.request import SearchRequest, parse_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1500", 1500),
        ("64k", 64_000),
        ("500M", 500 * 10**6),
        ("500 MB", 500 * 10**6),
        ("1.5g", 1_500_000_000),
        ("2T", 2 * 10**12),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "lots", "-1", "1e9", "20GiB", "20 %"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="--cache-size is a number of bytes, with k, M, G or T"):
        parse_size(text)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(UsageError, match="--cache-size must be at least 0, but got -1"):
        SearchRequest(data="x", cache_size=-1)


def test_a_study_goes_on_with_another_cache_and_repeats_its_own() -> None:
    usual, small = SearchRequest(data="x"), SearchRequest(data="x", cache_size=10**9)
    assert small.identity == usual.identity
    assert small.differences(usual) == []
    assert "--cache-size" not in usual.command
    assert "--cache-size 1000000000" in small.command


@pytest.mark.parametrize(("words", "expected"), [((), None), (("--cache-size", "3G"), 3 * 10**9)])
def test_the_command_line_hands_it_on(
    words: tuple[str, ...], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[SearchRequest] = []

    def search(request: SearchRequest, registry: Any, started: float) -> Iterator[Any]:
        asked.append(request)
        yield from ()

    monkeypatch.setattr("automl_transfer.searching.run_search", search)
    main(["search", "--data", "x", "--trials", "1", "--quiet", *words])
    assert [request.cache_size for request in asked] == [expected]
