"""A configuration: backbone x head x freeze strategy x hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from automl_transfer.jsonable import digest, to_json
from automl_transfer.space import Scalar


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One point of the search space; its digest is its identity across studies."""

    backbone: str
    head: str
    strategy: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """Namespaced by the host: ``head/mlp/hidden``, ``strategy/full/lr``,
    ``modality/image/augment``, ``training/batch_size``."""

    def of(self, kind: str, member: str) -> dict[str, Scalar]:
        """The parameters of one member, without their namespace."""
        prefix = f"{kind}/{member}/"
        return {
            name.removeprefix(prefix): value
            for name, value in self.params.items()
            if name.startswith(prefix)
        }

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits; equal for equal configurations."""
        return digest(to_json(self), 12)

    @property
    def kind(self) -> tuple[str, str, str]:
        """What it has in common with those that differ in hyper-parameters alone."""
        return self.backbone, self.head, self.strategy

    @property
    def title(self) -> str:
        """``backbone + head, strategy``, for people."""
        return f"{self.backbone} + {self.head}, {self.strategy}"
