"""How Kubernetes is reached."""

from __future__ import annotations

import contextlib
import os

import yaml
from kubernetes.aio import client
from kubernetes.aio import config as kube_config

from together_operator.config import ConfigError

MAX_CONNECTIONS = 16
"""Requests to Kubernetes at the same time, besides kopf's."""


def direct() -> client.Configuration:
    """How Kubernetes is reached: by so many requests at once, and the rest in order, since more of
    them are each slower, and what was begun first would not be done first.

    Never through a proxy that the environment names for the world outside, as kopf does it (one
    that the kubeconfig names is used); to look for one took a fifth of what a request takes.
    """
    configuration = client.Configuration.get_default_copy()
    configuration.connection_pool_maxsize = MAX_CONNECTIONS
    configuration.client_session_kwargs = {"trust_env": False}
    return configuration


async def load_kube_config() -> None:
    """KUBECONFIG or the usual file outside of a cluster, the service account within one.

    Raises:
        ConfigError: there is none of them, or it can't be used.
    """
    with contextlib.suppress(kube_config.ConfigException):
        kube_config.load_incluster_config()  # type: ignore[no-untyped-call]
        return
    try:
        await load_file()
    except ConfigError as error:
        raise ConfigError(f"Kubernetes can't be reached: {error}; set KUBECONFIG") from None


async def load_file(file: str | None = None, context: str | None = None) -> str | None:
    """A kubeconfig, or that of KUBECONFIG or the usual one; gives the namespace of its context.

    Args:
        context: which one; None: the file's current one.

    Raises:
        ConfigError: it is not there or can't be used; the message names the file.
    """
    try:
        loader = await kube_config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=file, context=context
        )
        namespace = loader.current_context["context"].get("namespace")
    except (kube_config.ConfigException, OSError, yaml.YAMLError) as error:
        # Behind a brace the library repeats what is in the file, such as a user's token.
        reason = " ".join(str(error).partition("/{")[0].split())
    except (AttributeError, KeyError, TypeError, ValueError):
        # The library takes for granted that what it reads has the form of a kubeconfig.
        reason = "it does not have the form of a kubeconfig"
    else:
        return str(namespace) if namespace else None
    named = file or os.environ.get("KUBECONFIG") or "~/.kube/config"
    raise ConfigError(f"kubeconfig {named}: {reason}")
