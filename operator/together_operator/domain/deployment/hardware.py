"""Which config serves a model: the one that was asked for, or the cheapest that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from together_operator.api.v1alpha1 import ModelDeploymentSpec
from together_operator.domain.together import Config, InstanceType


@dataclass(frozen=True, slots=True)
class Choice:
    """A config and its list price in US cents an hour and replica, where it is known."""

    config: Config
    cents_per_hour: float | None


@dataclass(frozen=True, slots=True)
class NoChoice:
    """No config fits; `message` lists those that there are."""

    message: str


def choose(
    spec: ModelDeploymentSpec,
    configs: Sequence[Config],
    prices: Sequence[InstanceType],
    chosen: Sequence[str] = (),
) -> Choice | NoChoice:
    """The cheapest config that fits the spec; without prices, the one with fewest accelerators.

    The first of the ids in `chosen` that fits is kept: a price that changes moves nobody.
    """
    by_name = {price.name: price.cents_per_hour for price in prices}
    choices = [Choice(config, by_name.get(config.instance_type)) for config in configs]
    fitting = [choice for choice in choices if _fits(spec, choice.config)]
    if not fitting:
        return NoChoice(_message(spec, choices))
    by_id = {choice.config.id: choice for choice in fitting}
    kept = next((by_id[config] for config in chosen if config in by_id), None)
    return kept or min(fitting, key=_rank)


def _rank(choice: Choice) -> tuple[float, int, str, str]:
    price = choice.cents_per_hour if choice.cents_per_hour is not None else float("inf")
    config = choice.config
    return price, config.count, config.optimization, config.id


def _fits(spec: ModelDeploymentSpec, config: Config) -> bool:
    if spec.config is not None:
        return config.id == spec.config
    if spec.optimization is not None and config.optimization != spec.optimization:
        return False
    if spec.hardware is None:
        return True
    if spec.hardware.count is not None and config.count != spec.hardware.count:
        return False
    return config.gpu == spec.hardware.gpu


def _message(spec: ModelDeploymentSpec, choices: Sequence[Choice]) -> str:
    wanted = []
    if spec.config is not None:
        wanted.append(f"config {spec.config}")
    if spec.hardware is not None:
        count = f"{spec.hardware.count}x" if spec.hardware.count is not None else ""
        wanted.append(f"hardware {count}{spec.hardware.gpu}")
    if spec.optimization is not None:
        wanted.append(f"optimization {spec.optimization}")
    if not choices:
        return "Together offers no config for this model"
    known = ", ".join(
        f"{c.config.instance_type} {c.config.optimization} ({c.config.id})".replace("  ", " ")
        for c in sorted(choices, key=_rank)
    )
    return f"No config of this model has {' and '.join(wanted)}. There are: {known}."
