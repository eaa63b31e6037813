"""What the faked platform offers: base models, configs, prices, all of them the simulator's own."""

from __future__ import annotations

from tests.support.simulators.together.catalog import (
    PLATFORM_PROJECT,
    REGIONS,
    default_catalog,
)
from together_operator.domain.together import Config, InstanceType, SupportedModel

EMBEDDING = "sentence-transformers/all-MiniLM-L6-v2"
CHAT = "Qwen/Qwen2.5-0.5B-Instruct"
_ALL = default_catalog()
BASES = {
    variant.model_id: SupportedModel(
        variant.model_name, variant.model_id, model.architecture, (model.capability,)
    )
    for model in _ALL.models
    for variant in model.variants
}
_CONFIGS = {
    variant.model_id: [
        Config(c.id, PLATFORM_PROJECT, c.accelerator, c.count, c.optimization)
        for c in variant.configs
    ]
    for model in _ALL.models
    for variant in model.variants
}
INSTANCES = tuple(
    InstanceType(
        name=i.name,
        gpu=i.name.partition("x")[2],
        count=i.gpu_count,
        cents_per_hour=float(i.cents_per_hour),
        gpu_memory_gib=float(i.gpu_memory_gib),
        headroom=dict.fromkeys(REGIONS, 10),
    )
    for i in _ALL.instance_types
)
_PRICES = {i.name: i.cents_per_hour for i in INSTANCES}
_PRICES_BY_CONFIG = {
    config.resource: _PRICES[config.instance_type]
    for configs_ in _CONFIGS.values()
    for config in configs_
}


def find(search: str) -> list[SupportedModel]:
    """Entries whose deployable name, or whose model's, holds a text, without case."""
    wanted = search.lower()
    entries = [
        SupportedModel(name, variant.model_id, model.architecture, (model.capability,))
        for model in _ALL.models
        for variant in model.variants
        # A model of one quantization goes by both of its names.
        for name in dict.fromkeys(
            (model.name, variant.model_name) if len(model.variants) == 1 else (variant.model_name,)
        )
    ]
    return [entry for entry in entries if wanted in entry.name.lower()]


def configs(base_id: str) -> list[Config]:
    """Configs of a base model."""
    return list(_CONFIGS.get(base_id, ()))


def is_compatible(config: str, base_id: str) -> bool:
    """Whether a config, given by its resource name, serves models of a base."""
    return config in {c.resource for c in configs(base_id)}


def cents_per_hour(config: str) -> float:
    """Price of a replica with a config, given by its resource name."""
    return _PRICES_BY_CONFIG.get(config, 0.0)
