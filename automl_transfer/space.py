"""The declarative search space: what may vary, between which bounds, and when.

Members declare parameters; nobody is handed an Optuna trial. The host adds the namespace
(``head/mlp/hidden``), checks the rules below, and turns the space into distributions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from automl_transfer.errors import CardError

Scalar: TypeAlias = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class When:
    """A condition: the parameter exists only while another one has one of these values."""

    parameter: str
    """Name of the other parameter, within the same space."""
    equals: tuple[Scalar, ...]

    def holds(self, values: Mapping[str, Scalar]) -> bool:
        """Whether the condition is met by ``values``."""
        return values.get(self.parameter) in self.equals


def _check_range(name: str, low: float, high: float, default: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise CardError(f"`low < high` must hold for parameter {name!r}, but got {low=}, {high=}.")
    if log and low <= 0:
        raise CardError(f"`low > 0` must hold for the log parameter {name!r}, but got {low=}.")
    if not low <= default <= high:
        raise CardError(
            f"The default of parameter {name!r} must lie in [{low}, {high}], but got {default!r}."
        )


def _check_name(name: str) -> None:
    if not name or not name.replace("_", "a").replace("-", "a").isalnum() or name[0].isdigit():
        raise CardError(
            f"A parameter name is made of letters, digits, '_' and '-', but got {name!r}."
        )


@dataclass(frozen=True, kw_only=True)
class Float:
    """A real number in ``[low, high]``, searched on a logarithmic scale if ``log``."""

    name: str
    low: float
    high: float
    default: float
    log: bool = False
    when: When | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_range(self.name, self.low, self.high, self.default, self.log)

    def contains(self, value: Scalar) -> bool:
        """Whether ``value`` is in the range."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and self.low <= float(value) <= self.high


@dataclass(frozen=True, kw_only=True)
class Int:
    """A whole number in ``[low, high]``, both included."""

    name: str
    low: int
    high: int
    default: int
    log: bool = False
    when: When | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_range(self.name, self.low, self.high, self.default, self.log)

    def contains(self, value: Scalar) -> bool:
        """Whether ``value`` is a whole number in the range."""
        is_int = isinstance(value, int) and not isinstance(value, bool)
        return is_int and self.low <= int(value) <= self.high


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several values without order."""

    name: str
    choices: tuple[Scalar, ...]
    default: Scalar
    when: When | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(set(map(repr, self.choices))) != len(self.choices) or not self.choices:
            raise CardError(
                f"The choices of parameter {self.name!r} must be distinct and at least one, "
                f"but got {self.choices!r}."
            )
        if not self.contains(self.default):
            raise CardError(
                f"The default of parameter {self.name!r} must be one of {self.choices!r}, "
                f"but got {self.default!r}."
            )

    def contains(self, value: Scalar) -> bool:
        """Whether ``value`` is one of the choices, of the same type."""
        return any(value == choice and type(value) is type(choice) for choice in self.choices)


Param: TypeAlias = Float | Int | Choice


@dataclass(frozen=True)
class Space:
    """An ordered set of parameters with unique names."""

    params: tuple[Param, ...] = field(default=())

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for param in self.params:
            if param.name in seen:
                raise CardError(f"Parameter names must be unique, but {param.name!r} is twice.")
            if param.when is not None and param.when.parameter not in seen:
                raise CardError(
                    f"Parameter {param.name!r} depends on {param.when.parameter!r}, which must be "
                    f"declared before it; declared before it: {sorted(seen)}."
                )
            seen.add(param.name)

    def defaults(self) -> dict[str, Scalar]:
        """The default of each parameter whose condition the other defaults meet."""
        values: dict[str, Scalar] = {}
        for param in self.params:
            if param.when is None or param.when.holds(values):
                values[param.name] = param.default
        return values

    def problems(self, values: Mapping[str, Scalar]) -> list[str]:
        """What is wrong with ``values`` as a point of this space; empty when nothing is."""
        found = []
        known = {param.name for param in self.params}
        for name in values:
            if name not in known:
                found.append(f"{name!r} is no parameter of this space (known: {sorted(known)})")
        for param in self.params:
            active = param.when is None or param.when.holds(values)
            if active and param.name not in values:
                found.append(f"{param.name!r} is missing")
            elif active and not param.contains(values[param.name]):
                found.append(f"{param.name!r} = {values[param.name]!r} is outside {param}")
            elif not active and param.name in values:
                found.append(
                    f"{param.name!r} is set, but its condition {param.when} does not hold"
                )
        return found
