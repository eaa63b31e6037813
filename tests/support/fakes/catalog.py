"""What the faked platform offers: base models, configs, prices."""

from __future__ import annotations

from together_operator.domain.together import Config, InstanceType, SupportedModel

EMBEDDING = "sentence-transformers/all-MiniLM-L6-v2"
CHAT = "Qwen/Qwen2.5-0.5B-Instruct"
_OTHER = "Qwen/Qwen3-8B"
BASES = {
    "ml_base_embedding": SupportedModel(
        EMBEDDING, "ml_base_embedding", "BertModel", ("CAPABILITY_EMBEDDING",)
    ),
    "ml_base_chat": SupportedModel(CHAT, "ml_base_chat", "Qwen2ForCausalLM", ("CAPABILITY_CHAT",)),
    "ml_base_other": SupportedModel(
        _OTHER, "ml_base_other", "Qwen3ForCausalLM", ("CAPABILITY_CHAT",)
    ),
}
PLATFORM = "proj_platform"
INSTANCES = (
    InstanceType("1xnvidia-l40s-48gb", "nvidia-l40s-48gb", 1, 210.0, 48.0, {"us-central-4": 10}),
    InstanceType("1xnvidia-h100-80gb", "nvidia-h100-80gb", 1, 336.0, 80.0, {"us-central-4": 3}),
)


def configs(base_id: str) -> list[Config]:
    """Configs of a base model."""
    if base_id not in BASES:
        return []
    return [
        Config(f"cr_{base_id}_{instance.gpu}_{word}", PLATFORM, instance.gpu, 1, word)
        for instance in INSTANCES
        for word in ("balanced", "throughput")
    ]


def is_compatible(config: str, base_id: str) -> bool:
    """Whether a config, given by its resource name, serves models of a base."""
    return config in {c.resource for c in configs(base_id)}


def cents_per_hour(config: str) -> float:
    """Price of a replica with a config, given by its resource name."""
    return next((i.cents_per_hour for i in INSTANCES if f"_{i.gpu}_" in config), 0.0)
