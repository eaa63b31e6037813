"""Configuration from the environment. A wrong value ends the start with one clear line."""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from together_operator.domain.addresses import AddressPolicy
from together_operator.domain.errors import Unauthorized
from together_operator.domain.names import DEFAULT_LEASE
from together_operator.domain.text import is_printable

PREFIX = "TOGETHER_OPERATOR_"


def _unprefixed(name: str) -> AliasChoices:
    return AliasChoices(name)


class ConfigError(Exception):
    """The configuration is wrong; the message is one line that names the variable."""


class Config(BaseSettings):
    """All settings of `together-operator run`. Times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", allow_inf_nan=False
    )

    api_key: SecretStr | None = Field(
        default=None,
        validation_alias=_unprefixed("TOGETHER_API_KEY"),
        description="The operator's own Together key, for objects without spec.apiKeySecretRef.",
    )
    api_key_file: Path | None = Field(
        default=None,
        validation_alias=_unprefixed("TOGETHER_API_KEY_FILE"),
        description="Or a file that holds it, read with each use: a new key needs no restart.",
    )
    base_url: HttpUrl = Field(
        default=HttpUrl("https://api.together.ai"),
        validation_alias=_unprefixed("TOGETHER_BASE_URL"),
        description="Together's management API.",
    )
    project_id: str | None = Field(
        default=None,
        validation_alias=_unprefixed("TOGETHER_PROJECT_ID"),
        description="Project to work in; only keys of an organization need it.",
    )
    hub_endpoint: HttpUrl = Field(
        default=HttpUrl("https://huggingface.co"),
        validation_alias=_unprefixed("HF_ENDPOINT"),
        description="Hugging Face, for metadata of repositories.",
    )
    max_hourly_cost: Decimal | None = Field(
        default=None,
        ge=0,
        description="Ceiling in dollars an hour for all ModelDeployments together.",
    )
    namespace_max_hourly_cost: Annotated[dict[str, Decimal], NoDecode] = Field(
        default={},
        description="Ceilings of namespaces in dollars an hour, as team-a=10,team-b=20,*=5.",
    )
    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Namespaces to serve, comma-separated; empty: all of them."
    )
    allowed_addresses: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Networks, comma-separated, that endpoints and URLs of objects may lead to "
        "although they are loopback, link-local or a metadata service's.",
    )
    archive_image: str = Field(
        default="together-operator:latest", description="Image of the archive Jobs."
    )
    api_version: Literal["v2", "v1"] = Field(
        default="v2", description="Version of Together's API; v1 is the legacy one."
    )
    archive_ca_config_map: str | None = Field(
        default=None,
        description="ConfigMap in each namespace with the certificates that archive Jobs trust.",
    )
    archive_ca_secret: str | None = Field(default=None, description="Or a Secret.")
    archive_ca_key: str = Field(default="ca.crt", description="The key in it.")
    http_proxy: str | None = Field(
        default=None,
        validation_alias=_unprefixed("HTTP_PROXY"),
        description="Proxy for http://; archive Jobs get it, too.",
    )
    https_proxy: str | None = Field(
        default=None,
        validation_alias=_unprefixed("HTTPS_PROXY"),
        description="Proxy for https://; archive Jobs get it, too.",
    )
    no_proxy: str | None = Field(
        default=None,
        validation_alias=_unprefixed("NO_PROXY"),
        description="Hosts that are reached without a proxy; archive Jobs get it, too.",
    )
    poll_seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Between looks at something that is under way.",
    )
    resync_seconds: float = Field(
        default=600.0,
        gt=0,
        description="Within which all that is settled is looked at, however long the lists are.",
    )
    source_seconds: float = Field(
        default=3600.0,
        ge=0,
        description="Between looks at an imported source, to see if it has changed; 0: never.",
    )
    settle_seconds: float = Field(
        default=30.0,
        ge=0,
        description="After which a create whose answer was lost shows in lists, if it happened.",
    )
    retry_max_seconds: float = Field(
        default=300.0,
        gt=0,
        description="Longest delay between tries of something that failed.",
    )
    watch_idle_seconds: float = Field(
        default=70.0,
        gt=0,
        description="After which a silent watch is opened anew; live ones speak every minute.",
    )
    orphans_seconds: float = Field(
        default=3600.0,
        ge=0,
        description="Between comparisons of what Together has with what objects ask for; 0: none.",
    )
    workers: int = Field(
        default=128,
        ge=1,
        le=1024,
        description="Reconciles at once, of each kind. Most of them wait for a list they share.",
    )
    cluster_id: str | None = Field(
        default=None, description="Identity of this cluster; default: UID of kube-system."
    )
    http_port: int = Field(
        default=8080, ge=0, le=65535, description="Of /livez, /readyz and /metrics; 0: any free."
    )
    log_format: Literal["console", "json"] | None = Field(
        default=None, description="Of the log; default: console on a terminal, else json."
    )
    tracing: bool = Field(
        default=False,
        description="OpenTelemetry traces, to where OTEL_EXPORTER_OTLP_ENDPOINT says.",
    )
    lease_namespace: str = Field(
        default="default",
        validation_alias=AliasChoices(f"{PREFIX}LEASE_NAMESPACE", "POD_NAMESPACE"),
        description="Where the Lease is that lets only one operator act.",
    )
    lease_name: str = Field(default=DEFAULT_LEASE, description="Name of the Lease.")
    lease_seconds: float = Field(
        default=15.0,
        ge=3,
        le=300,
        description="How long a Lease holds without being renewed.",
    )
    identity: str = Field(
        default_factory=lambda: f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}",
        validation_alias=AliasChoices(f"{PREFIX}IDENTITY", "POD_NAME"),
        description="Holder of the Lease; a restarted container of the same pod is the same.",
    )

    @field_validator("namespaces", "allowed_addresses", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("namespaces", mode="after")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
                raise ValueError(f"{name!r} is no name of a namespace; patterns are not known")
        return value

    @field_validator("allowed_addresses", mode="after")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        AddressPolicy.parse(",".join(value))
        return value

    @property
    def addresses(self) -> AddressPolicy:
        """Where something that an object names may lead."""
        return AddressPolicy.parse(",".join(self.allowed_addresses))

    @field_validator("namespace_max_hourly_cost", mode="before")
    @classmethod
    def _by_namespace(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found = {}
        for entry in filter(None, (part.strip() for part in value.split(","))):
            namespace, equals, dollars = (part.strip() for part in entry.partition("="))
            if not equals or not re.fullmatch(r"[0-9]+([.][0-9]+)?", dollars):
                raise ValueError(f"{entry!r} is not namespace=dollars, such as team-a=12.50")
            found[namespace] = dollars
        return found

    @field_validator("api_key", mode="after")
    @classmethod
    def _not_blank(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else _stripped(value.get_secret_value())

    @field_validator("api_key_file", mode="after")
    @classmethod
    def _holds_a_key(cls, value: Path | None) -> Path | None:
        if value is not None:
            _in_file(value)
        return value

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key is not None and self.api_key_file is not None:
            raise ValueError("TOGETHER_API_KEY and TOGETHER_API_KEY_FILE are set: unset one")
        return self

    @property
    def own_key(self) -> Callable[[], SecretStr] | None:
        """What gives the operator's own key as it is now; None: there is none.

        It raises Unauthorized when the key's file holds no key any more.
        """
        file, key = self.api_key_file, self.api_key
        if file is not None:
            return lambda: _read_file(file)
        return None if key is None else lambda: key


def _stripped(text: str) -> SecretStr | None:
    stripped = text.strip()
    if not stripped:
        return None
    if not is_printable(stripped):
        raise ValueError("the value has characters that no key has")
    return SecretStr(stripped)


def _in_file(path: Path) -> SecretStr:
    try:
        key = _stripped(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: the value has characters that no key has") from None
    if key is None:
        raise ValueError(f"{path}: the file is empty")
    return key


def _read_file(path: Path) -> SecretStr:
    try:
        return _in_file(path)
    except ValueError as error:
        raise Unauthorized(f"TOGETHER_API_KEY_FILE: {error}") from None


def load() -> Config:
    """The configuration of this process.

    Raises:
        ConfigError: a variable's value is wrong. The message does not repeat the value, which
            may be a secret.
    """
    try:
        return Config()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if not first["loc"]:
            raise ConfigError(first["msg"]) from None
        name = str(first["loc"][0])
        variable = name if name.isupper() else f"{PREFIX}{name.upper()}"
        raise ConfigError(f"{variable}: {first['msg']}") from None
