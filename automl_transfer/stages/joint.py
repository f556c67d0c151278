"""The joint search space: backbone x head x strategy x their own parameters, namespaced.

It is conditional and never flattened: a parameter exists only while its owner is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from automl_transfer.configuration import Configuration
from automl_transfer.jsonable import digest, to_json
from automl_transfer.space import Choice, Float, Int, Param, Scalar, Space

KINDS = ("backbone", "head", "strategy")


@dataclass(frozen=True, kw_only=True)
class JointSpace:
    """What one Optuna study searches over."""

    backbones: tuple[str, ...]
    heads: Mapping[str, Space]
    strategies: Mapping[str, Space]
    common: Mapping[str, Space] = field(default_factory=dict)
    """Prefix (``training``, ``modality/image``) to parameters that every trial has."""
    of_head: Mapping[str, Mapping[str, Space]] = field(default_factory=dict)
    """Head to what its trials have besides, in the same form; other prefixes than ``common``."""

    def owners(self, head: str, strategy: str) -> list[tuple[str, Space]]:
        """Prefixes and spaces that are active for a head and a strategy, in a fixed order."""
        return [
            (f"head/{head}", self.heads[head]),
            (f"strategy/{strategy}", self.strategies[strategy]),
            *sorted({**self.common, **self.of_head.get(head, {})}.items()),
        ]

    def default(
        self, backbone: str, head: str, strategy: str, given: Mapping[str, Scalar] | None = None
    ) -> Configuration:
        """The configuration with every parameter at its default, but for those ``given``."""
        params: dict[str, Scalar] = {}
        for prefix, space in self.owners(head, strategy):
            chosen: dict[str, Scalar] = {}
            for param in space.params:
                if param.when is None or param.when.holds(chosen):
                    chosen[param.name] = (given or {}).get(f"{prefix}/{param.name}", param.default)
            params |= {f"{prefix}/{name}": value for name, value in chosen.items()}
        return Configuration(backbone=backbone, head=head, strategy=strategy, params=params)

    def suggest(self, trial: optuna.Trial) -> Configuration:
        """Asks an Optuna trial for one point."""
        backbone = trial.suggest_categorical("backbone", self.backbones)
        head = trial.suggest_categorical("head", tuple(sorted(self.heads)))
        strategy = trial.suggest_categorical("strategy", tuple(sorted(self.strategies)))
        params: dict[str, Scalar] = {}
        for prefix, space in self.owners(head, strategy):
            chosen: dict[str, Scalar] = {}
            for param in space.params:
                if param.when is None or param.when.holds(chosen):
                    chosen[param.name] = _suggest(trial, f"{prefix}/{param.name}", param)
            params |= {f"{prefix}/{name}": value for name, value in chosen.items()}
        return Configuration(backbone=backbone, head=head, strategy=strategy, params=params)

    def distributions(self, configuration: Configuration) -> dict[str, BaseDistribution]:
        """Optuna's distribution of each value of a configuration."""
        found: dict[str, BaseDistribution] = {
            "backbone": CategoricalDistribution(self.backbones),
            "head": CategoricalDistribution(tuple(sorted(self.heads))),
            "strategy": CategoricalDistribution(tuple(sorted(self.strategies))),
        }
        for prefix, space in self.owners(configuration.head, configuration.strategy):
            for param in space.params:
                name = f"{prefix}/{param.name}"
                if name in configuration.params:
                    found[name] = _distribution(param)
        return found

    def holds(self, configuration: Configuration) -> bool:
        """Whether a configuration is a point of this space."""
        if (
            configuration.backbone not in self.backbones
            or configuration.head not in self.heads
            or configuration.strategy not in self.strategies
        ):
            return False
        known: set[str] = set()
        for prefix, space in self.owners(configuration.head, configuration.strategy):
            values = {
                key.removeprefix(f"{prefix}/"): value
                for key, value in configuration.params.items()
                if key.startswith(f"{prefix}/")
            }
            known |= {f"{prefix}/{name}" for name in values}
            if space.problems(values):
                return False
        return known == set(configuration.params)

    def widened(self, past: Iterable[Configuration]) -> JointSpace:
        """This space with the backbones of earlier trials, so that they can be kept.

        Optuna refuses a categorical whose choices change; a study that gained or lost a backbone
        is therefore rebuilt under the union of all choices.
        """
        names = {*self.backbones, *(configuration.backbone for configuration in past)}
        return replace(self, backbones=tuple(sorted(names)))

    @property
    def digest(self) -> str:
        """Changes when the space does."""
        return digest(to_json(self))


def flat(configuration: Configuration) -> dict[str, Scalar]:
    """A configuration as the parameters of an Optuna trial."""
    return {
        "backbone": configuration.backbone,
        "head": configuration.head,
        "strategy": configuration.strategy,
        **configuration.params,
    }


def _suggest(trial: optuna.Trial, name: str, param: Param) -> Scalar:
    match param:
        case Float():
            return trial.suggest_float(name, param.low, param.high, log=param.log)
        case Int():
            return trial.suggest_int(name, param.low, param.high, log=param.log)
        case Choice():
            return cast(Scalar, trial.suggest_categorical(name, param.choices))


def _distribution(param: Param) -> BaseDistribution:
    match param:
        case Float():
            return FloatDistribution(param.low, param.high, log=param.log)
        case Int():
            return IntDistribution(param.low, param.high, log=param.log)
        case Choice():
            return CategoricalDistribution(param.choices)
