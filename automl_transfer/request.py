"""What the user asked for: everything that, with the data and the plugins, decides a search."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from automl_transfer.budget import Budget, exact_duration
from automl_transfer.cards import PORTFOLIOS
from automl_transfer.constraints import (
    LICENSE_POLICIES,
    PREFERENCES,
    LicensePolicy,
    Preference,
    exact_latency,
)
from automl_transfer.dataset import HOLD_OUT, DataOptions, HoldOut
from automl_transfer.errors import UsageError, did_you_mean
from automl_transfer.jsonable import digest, to_json
from automl_transfer.task import require_metric

_NAME = re.compile(r"[^\W_][\w.-]{0,99}")
_SEEDS = 2**32
MOST_WORKERS = 64
"""Processes of one machine."""
_LOCAL = "local:"
# Up to the last '@' before the path; when there is none, the password itself holds a '/'.
_URL_PASSWORD = re.compile(r"(?<=://)([^:/\s]*):(?:[^/\s]*|\S*)@")
# What is typed by mistake: the scheme forgotten, or all that comes after the password.
_BARE_PASSWORD = re.compile(r"^([^:/\s]+):(?!//)\S*@")
_LAST_PASSWORD = re.compile(r"(?<=://)([^:/\s@\[]*):(?!\d*(?:[/?#'\"\s]|$))[^\s@]*(?!\S*@)")
# Also within `odbc_connect=...`, whose own separators are escaped, and as libpq writes it.
_QUERY_PASSWORD = re.compile(
    r"((?:^|[?&;\s]|%3B)[\w.-]*(?:pass(?:word|wd|phrase)|pwd|secret|tok\w+)(?:=|%3D))"
    r"(?:'(?:[^'\\]|\\.)*')?[^&\s]*",
    re.IGNORECASE,
)
_CONTINUES = frozenset(
    {
        "budget_seconds",
        "trials",
        "device",
        "devices",
        "workers",
        "studies",
        "storage",
        "study",
        "cache_size",
    }
)
"""Fields that may differ when a study is resumed."""


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", re.IGNORECASE)
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def parse_size(text: str) -> int:
    """Bytes in a text such as ``20G``, ``500M`` or ``0``.

    Raises:
        UsageError: The text is no such number.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            "--cache-size is a number of bytes, with k, M, G or T if need be (20G, 500M; 0 keeps "
            f"nothing), but got {text!r}."
        )
    return round(float(found[1]) * _SIZES[found[2].lower()])


def parse_devices(text: str) -> tuple[str, ...]:
    """Names in a text such as ``0,1`` or ``cuda:0,cuda:1``; see :func:`named_devices`."""
    return named_devices(text.split(","))


def named_devices(names: Sequence[str]) -> tuple[str, ...]:
    """Devices by their full names: ``0`` and ``cuda`` are ``cuda:0``.

    Raises:
        UsageError: One is no name of a device, they are of several kinds, or one that is not the
            CPU is there twice.
    """
    found = tuple(map(_named_device, names))
    kinds = sorted({name.partition(":")[0] for name in found})
    if len(kinds) > 1:
        raise UsageError(
            "--devices must be of one kind, since a trial may go to any of them, but got "
            f"{' and '.join(kinds)} in {','.join(found)!r}."
        )
    twice = sorted({name for name in found if name != "cpu" and found.count(name) > 1})
    if twice:
        raise UsageError(
            f"--devices must name each device once (only cpu may be repeated), but got {twice[0]} "
            f"{found.count(twice[0])} times."
        )
    return found


def _named_device(name: str) -> str:
    name = name.strip()
    if name in ("cpu", "mps"):
        return name
    number = name.removeprefix("cuda:") if name != "cuda" else "0"
    if not re.fullmatch(r"[0-9]{1,4}", number):
        raise UsageError(
            "--devices must be a list such as 0,1 or cuda:0,cuda:1 or cpu,cpu, but got "
            f"{name!r} in it."
        )
    return f"cuda:{int(number)}"


def hide_password(url: str) -> str:
    """A storage URL that may be shown, or a text with one: ``***`` for each password in it."""
    for pattern in (_URL_PASSWORD, _BARE_PASSWORD):
        url = pattern.sub(r"\1:***@", url)
    return _QUERY_PASSWORD.sub(r"\1***", _LAST_PASSWORD.sub(r"\1:***", url))


def _absolute(text: str | Path) -> str:
    return str(Path(text).expanduser().absolute())


def _absolute_backbone(name: str) -> str:
    path = name.removeprefix(_LOCAL)
    return _LOCAL + _absolute(path) if path and name.startswith(_LOCAL) else name


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """The options of ``automl-transfer search``, checked.

    Paths are made absolute, so that the command repeats the search from any directory.
    """

    data: str
    """Path of the data."""
    study: str = ""
    """Name of the study; made from the data's name and the options when empty."""
    studies: str = "studies"
    """Directory of all studies."""
    storage: str | None = None
    """SQLAlchemy URL of a database for the rows; None: an SQLite file in the study."""
    budget_seconds: float | None = None
    trials: int | None = None
    seed: int = 0
    device: str = "auto"
    devices: tuple[str, ...] = ()
    workers: int = 1
    """Processes of this machine that fine-tune, the search itself among them."""
    """One process each for fine-tuning; the search itself runs on the first. Empty: ``device``."""
    metric: str = "auto"
    backbones: tuple[str, ...] = ()
    """Names or globs; empty: the portfolio."""
    heads: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Globs over backbones, heads and strategies."""
    portfolio: str = "small"
    max_params: int | None = None
    max_latency: float | None = None
    """Seconds for a batch of one, as measured on the device of the search."""
    license: LicensePolicy = "any"
    """On what terms the weights may be had."""
    prefer: Preference = "latency"
    """What decides between configurations that no test tells apart."""
    tolerance: float = 1.0
    """Points of the metric (hundredths, also of the log-loss) that may be given up for that."""
    offline: bool = False
    cache_size: int | None = None
    """Bytes that the caches of all studies may take together; None: a usual share of the disk."""
    sampler: str = "tpe"
    pruner: str = "rungs"
    ranker: str = "ridge"
    hold_out: HoldOut = "auto"
    """Whether a test part is drawn where none is given."""
    compile: bool = False
    """Fine-tunes run through ``torch.compile``."""
    epochs: int | None = None
    """Epochs of a fine-tuning trial; None: as many as the budget allows, 5 without one."""
    options: DataOptions = DataOptions()

    def __post_init__(self) -> None:
        self._make_paths_absolute()
        self._keep_out_of_the_data()
        require_metric(self.metric)
        self._name_devices()
        self._count_workers()
        if not 0 <= self.seed < _SEEDS:
            raise UsageError(
                f"--seed must be a whole number from 0 to {_SEEDS - 1}, but got {self.seed}."
            )
        if self.portfolio not in PORTFOLIOS:
            raise UsageError(
                f"--portfolio must be one of {', '.join(PORTFOLIOS)}, but got {self.portfolio!r}."
                + did_you_mean(self.portfolio, PORTFOLIOS)
            )
        if self.study and not _NAME.fullmatch(self.study):
            raise UsageError(
                "A study name is 1 to 100 letters, digits, '_', '.' and '-', starting with a "
                f"letter or digit, but got {self.study!r}."
            )
        if not 0 <= self.tolerance <= 100:
            raise UsageError(
                "--tolerance is a number of points of the metric from 0 to 100, but got "
                f"{self.tolerance:g}."
            )
        if self.max_params is not None and self.max_params < 1:
            raise UsageError(f"--max-params must be at least 1, but got {self.max_params}.")
        self._check_constraints()
        if not self.options.label_separator:
            raise UsageError("--label-separator must be a text, but got none.")
        if self.cache_size is not None and self.cache_size < 0:
            raise UsageError(f"--cache-size must be at least 0, but got {self.cache_size}.")
        if self.hold_out not in HOLD_OUT:
            raise UsageError(
                f"--hold-out must be one of {', '.join(HOLD_OUT)}, but got {self.hold_out!r}."
            )
        if self.epochs is not None and self.epochs < 1:
            raise UsageError(f"--epochs must be at least 1, but got {self.epochs}.")

    def _check_constraints(self) -> None:
        if self.max_latency is not None and not 0 < self.max_latency < float("inf"):
            raise UsageError(
                f"--max-latency must be a time above 0, but got {self.max_latency} s."
            )
        for option, value, known in (
            ("--license", self.license, LICENSE_POLICIES),
            ("--prefer", self.prefer, PREFERENCES),
        ):
            if value not in known:
                raise UsageError(
                    f"{option} must be one of {', '.join(known)}, but got {value!r}."
                    + did_you_mean(value, known)
                )

    def _count_workers(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(
                f"--workers must be from 1 to {MOST_WORKERS}, but got {self.workers}. On other "
                "machines start `automl-transfer worker`."
            )
        if self.workers > 1 and self.devices:
            raise UsageError(
                "--workers chooses the devices itself, so --devices "
                f"{','.join(self.devices)} with --workers {self.workers} must not be given. Leave "
                "one of them out."
            )

    def _name_devices(self) -> None:
        object.__setattr__(self, "devices", named_devices(self.devices))
        one = "cuda:0" if self.device == "cuda" else self.device
        if self.devices and one not in ("auto", self.devices[0]):
            raise UsageError(
                "The search itself runs on the first of --devices, but got --devices "
                f"{','.join(self.devices)} with --device {self.device}. Leave out --device."
            )

    def _make_paths_absolute(self) -> None:
        root = self.options.root
        # In `exclude`, a name with a wildcard is a glob: `local:*` means any local backbone.
        names = {
            "backbones": tuple(map(_absolute_backbone, self.backbones)),
            "exclude": tuple(
                name if any(sign in name for sign in "*?[") else _absolute_backbone(name)
                for name in self.exclude
            ),
            "data": _absolute(self.data),
            "studies": _absolute(self.studies),
            "options": replace(self.options, root=None if root is None else Path(_absolute(root))),
        }
        for name, value in names.items():
            object.__setattr__(self, name, value)

    def _keep_out_of_the_data(self) -> None:
        data, studies = Path(self.data).resolve(), Path(self.studies).resolve()
        if data.is_dir() and studies.is_relative_to(data):
            raise UsageError(
                "The user's data are never written to: --studies must lie outside --data, but "
                f"{str(studies)!r} lies in {str(data)!r}; give --studies DIR."
            )

    @property
    def first_device(self) -> str:
        """Where the search itself runs."""
        return self.devices[0] if self.devices else self.device

    @property
    def budget(self) -> Budget:
        """Time and trials."""
        return Budget(seconds=self.budget_seconds, trials=self.trials)

    @property
    def name(self) -> str:
        """The study's name: as given, or ``<data>-<six digits of the options>``."""
        if self.study:
            return self.study
        stem = re.sub(r"[^\w.-]+", "-", Path(self.data).stem).strip("-._") or "data"
        return f"{stem[:80]}-{self.identity[:6]}"

    @property
    def identity(self) -> str:
        """Digest of everything that must not change when a study is resumed."""
        kept = {key: value for key, value in to_json(self).items() if key not in _CONTINUES}
        return digest(kept)

    def differences(self, other: SearchRequest) -> list[str]:
        """What forbids to resume ``other`` with this request, one text each."""
        return [
            f"{field.name}: {getattr(other, field.name)!r} then, {getattr(self, field.name)!r} now"
            for field in fields(self)
            if field.name not in _CONTINUES
            and getattr(self, field.name) != getattr(other, field.name)
        ]

    @property
    def command(self) -> str:
        """The command line that repeats or resumes the search, without secrets."""
        words = ["automl-transfer", "search", "--data", self.data, "--study", self.name]
        words += ["--studies", self.studies]
        if self.storage:
            words += ["--storage", hide_password(self.storage)]
        if self.budget_seconds is not None:
            words += ["--budget", exact_duration(self.budget_seconds)]
        for option, value, default in (
            ("--trials", self.trials, None),
            ("--seed", self.seed, 0),
            ("--device", self.device, "auto"),
            ("--devices", ",".join(self.devices), ""),
            ("--workers", self.workers, 1),
            ("--metric", self.metric, "auto"),
            ("--portfolio", self.portfolio, "small"),
            ("--max-params", self.max_params, None),
            (
                "--max-latency",
                None if self.max_latency is None else exact_latency(self.max_latency),
                None,
            ),
            ("--license", self.license, "any"),
            ("--prefer", self.prefer, "latency"),
            ("--tolerance", self.tolerance, 1.0),
            ("--epochs", self.epochs, None),
            ("--sampler", self.sampler, "tpe"),
            ("--pruner", self.pruner, "rungs"),
            ("--ranker", self.ranker, "ridge"),
            ("--cache-size", self.cache_size, None),
            ("--task", self.options.task, "auto"),
            ("--modality", self.options.modality, None),
            ("--path-column", self.options.path_column, "path"),
            ("--label-column", self.options.label_column, "label"),
            ("--label-separator", self.options.label_separator, ";"),
            ("--split-column", self.options.split_column, None),
            ("--group-by", self.options.group_by, None),
            ("--hold-out", self.hold_out, "auto"),
            ("--root", self.options.root, None),
        ):
            if value != default:
                words += [option, str(value)]
        for option, values in (
            ("--backbone", self.backbones),
            ("--head", self.heads),
            ("--strategy", self.strategies),
            ("--exclude", self.exclude),
        ):
            for value in values:
                words += [option, value]
        for option, wanted in (("--offline", self.offline), ("--compile", self.compile)):
            if wanted:
                words.append(option)
        return shlex.join(words)
