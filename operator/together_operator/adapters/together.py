"""Which adapter speaks to Together, by configuration."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from pydantic import SecretStr

from together_operator.adapters.together_v1 import TogetherV1
from together_operator.adapters.together_v2 import TogetherV2
from together_operator.adapters.together_v2.http import OnCall
from together_operator.config import Config
from together_operator.ports import ModelProvider


def connector(
    config: Config, http: httpx.AsyncClient, on_call: OnCall = lambda *_: None
) -> Callable[[SecretStr], ModelProvider]:
    """Makes a provider for an API key, on shared connections.

    Args:
        on_call: told of each call (method, resource, status code or failure).
    """

    def connect(key: SecretStr) -> ModelProvider:
        if config.api_version == "v1":
            return TogetherV1(key, str(config.base_url), http=http, on_call=on_call)
        return TogetherV2(
            key,
            str(config.base_url).rstrip("/"),
            project_id=config.project_id,
            http=http,
            on_call=on_call,
        )

    return connect
