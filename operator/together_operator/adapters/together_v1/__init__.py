"""Together's legacy v1 API behind the same port: `TogetherV1` implements `ModelProvider`.

What v1 lacks is said by `Unsupported`; how its one-call creates fit the port's steps is told in
docs/design/2026-11-27-v1.md.
"""

from together_operator.adapters.together_v1.provider import TogetherV1

__all__ = ["TogetherV1"]
