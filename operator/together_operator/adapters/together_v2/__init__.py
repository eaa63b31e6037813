"""Together's v2 API: `TogetherV2` implements `ModelProvider`."""

from together_operator.adapters.together_v2.provider import TogetherV2, connections

__all__ = ["TogetherV2", "connections"]
