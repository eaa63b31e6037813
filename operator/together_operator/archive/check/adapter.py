"""A LoRA adapter: its configuration and its weights."""

from collections.abc import Iterator

from together_operator.archive.check.finding import Finding, Listing, UnreadableJsonError
from together_operator.archive.check.safetensors import safetensors_findings

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def adapter_findings(listing: Listing) -> list[Finding]:
    findings = [
        Finding(
            "adapter/incomplete",
            "error",
            f"the adapter's {missing!r} is missing",
            "upload what PEFT's `save_pretrained` wrote"
            + (" (with safe_serialization=True)" if missing == _WEIGHTS else ""),
        )
        for missing in (_CONFIG, _WEIGHTS)
        if missing not in listing
    ]
    if _CONFIG in listing:
        findings += _config(listing)
    if _WEIGHTS in listing:
        findings += safetensors_findings(listing, _WEIGHTS)[0]
    return findings


def _config(listing: Listing) -> Iterator[Finding]:
    try:
        config = listing.json(_CONFIG)
    except UnreadableJsonError as error:
        yield Finding("adapter/config", "error", f"{_CONFIG!r} {error.args[0]}", "save it again")
        return
    if config.get("peft_type") not in ("LORA", None):
        yield Finding(
            "adapter/type",
            "error",
            f"the adapter is of type {str(config['peft_type'])[:50]!r}, not LoRA",
            "only LoRA adapters can be imported",
        )
    if not config.get("base_model_name_or_path"):
        yield Finding(
            "adapter/base",
            "warning",
            f"{_CONFIG!r} names no base model",
            "give the base model explicitly",
        )
