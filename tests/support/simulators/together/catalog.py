"""What the platform itself offers: base models, configs and instance types with their prices.

Names, prices and architectures are made up in the manner of the real catalog; nothing in a test
or in the operator may depend on a particular one.
"""

import hashlib
from dataclasses import dataclass, field

PLATFORM_PROJECT = "proj_platform"
REGIONS = ("us-central-4", "eu-west-1")


@dataclass(frozen=True, slots=True)
class InstanceType:
    """Hardware for one replica. The price is in US cents per hour."""

    name: str
    gpu_type: str
    gpu_count: int
    gpu_memory_gib: int
    cents_per_hour: int

    @property
    def id(self) -> str:
        """Stable id."""
        return stable_id("it_", self.name)


@dataclass(frozen=True, slots=True)
class Config:
    """A way to run a base model."""

    id: str
    base_model_id: str
    accelerator: str
    count: int
    optimization: str
    max_concurrent: int = 256

    @property
    def instance_type(self) -> str:
        """Name of the instance type it runs on."""
        return f"{self.count}x{self.accelerator}"


@dataclass(frozen=True, slots=True)
class Variant:
    """One quantization of a base model: its own `ml_` id, and configs."""

    model_id: str
    model_name: str
    quantization: str
    configs: tuple[Config, ...]


@dataclass(frozen=True, slots=True)
class BaseModel:
    """An entry of the catalog."""

    name: str
    architecture: str
    capability: str
    context_length: int
    description: str
    products: tuple[str, ...]
    variants: tuple[Variant, ...]

    @property
    def id(self) -> str:
        """Id of the catalog entry."""
        return stable_id("arch_", self.name)


@dataclass(slots=True)
class Catalog:
    """Everything that can be a base, and what it runs on."""

    models: list[BaseModel]
    instance_types: list[InstanceType]
    _variants: dict[str, tuple[BaseModel, Variant]] = field(default_factory=dict)
    _configs: dict[str, Config] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index what is looked up by id."""
        for model in self.models:
            for variant in model.variants:
                self._variants[variant.model_id] = (model, variant)
                for config in variant.configs:
                    self._configs[config.id] = config

    def base(self, model_id: str) -> tuple[BaseModel, Variant] | None:
        """The base model that an `ml_` id of the platform stands for."""
        return self._variants.get(model_id)

    def config(self, config_id: str) -> Config | None:
        """The config of that id."""
        return self._configs.get(config_id)

    def instance_type(self, name: str) -> InstanceType:
        """The instance type of that name; KeyError when there is none."""
        for instance_type in self.instance_types:
            if instance_type.name == name:
                return instance_type
        raise KeyError(name)


def stable_id(prefix: str, *parts: str) -> str:
    """An id that is the same in every run."""
    return prefix + hashlib.sha256("/".join(parts).encode()).hexdigest()[:20]


def default_catalog() -> Catalog:
    """A catalog with small and large, chat and embedding, dedicated and serverless models."""
    h100, l40s, h200 = "nvidia-h100-80gb", "nvidia-l40s-48gb", "nvidia-h200-141gb"
    small = ((l40s, 1), (h100, 1))
    medium = ((h100, 1), (h200, 1))
    large = ((h100, 4), (h100, 8), (h200, 4))
    bert, modern = "BertModel", "ModernBertModel"
    qwen2, qwen3 = "Qwen2ForCausalLM", "Qwen3ForCausalLM"
    llama, mistral = "LlamaForCausalLM", "MistralForCausalLM"
    return Catalog(
        models=[
            _model("sentence-transformers/all-MiniLM-L6-v2", bert, 512, small, embedding=True),
            _model("BAAI/bge-base-en-v1.5", bert, 512, small, embedding=True),
            _model("Alibaba-NLP/gte-modernbert-base", modern, 8192, small, embedding=True),
            _model("Qwen/Qwen2.5-0.5B-Instruct", qwen2, 32768, small),
            _model("Qwen/Qwen3-8B", qwen3, 40960, medium, quantizations=("", "FP8")),
            _model("meta-llama/Llama-3.1-8B-Instruct", llama, 131072, medium),
            _model(
                "meta-llama/Llama-3.3-70B-Instruct", llama, 131072, large, quantizations=("FP8",)
            ),
            _model("mistralai/Mistral-7B-Instruct-v0.3", mistral, 32768, medium),
            _model("mistralai/Mixtral-8x7B-v0.1", "MixtralForCausalLM", 32768, (), dedicated=False),
        ],
        instance_types=[
            InstanceType(f"1x{l40s}", "L40S", 1, 48, 149),
            InstanceType(f"1x{h100}", "H100", 1, 80, 399),
            InstanceType(f"4x{h100}", "H100", 4, 80, 1596),
            InstanceType(f"8x{h100}", "H100", 8, 80, 3192),
            InstanceType(f"1x{h200}", "H200", 1, 141, 499),
            InstanceType(f"4x{h200}", "H200", 4, 141, 1996),
        ],
    )


def _model(
    name: str,
    architecture: str,
    context_length: int,
    hardware: tuple[tuple[str, int], ...],
    *,
    embedding: bool = False,
    dedicated: bool = True,
    quantizations: tuple[str, ...] = ("",),
) -> BaseModel:
    return BaseModel(
        name=name,
        architecture=architecture,
        capability="CAPABILITY_EMBEDDING" if embedding else "CAPABILITY_CHAT",
        context_length=context_length,
        description=f"{'Embedding' if embedding else 'Chat'} model {name}",
        products=("PRODUCT_DEDICATED", "PRODUCT_SERVERLESS") if dedicated else _SERVERLESS,
        variants=tuple(_variant(name, quantization, hardware) for quantization in quantizations)
        if dedicated
        else (),
    )


_SERVERLESS = ("PRODUCT_SERVERLESS",)


def _variant(name: str, quantization: str, hardware: tuple[tuple[str, int], ...]) -> Variant:
    model_name = f"{name}-{quantization}" if quantization else name
    model_id = stable_id("ml_", model_name)
    return Variant(
        model_id=model_id,
        model_name=model_name,
        quantization=quantization or "BF16",
        configs=tuple(
            Config(
                id=stable_id("cr_", model_name, accelerator, str(count), optimization),
                base_model_id=model_id,
                accelerator=accelerator,
                count=count,
                optimization=optimization,
            )
            for accelerator, count in hardware
            for optimization in ("balanced", "throughput")
        ),
    )
