"""One Together account (one API key): its provider, and the lists that objects share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

from together_operator.api.v1alpha1 import SecretKeyRef
from together_operator.domain.errors import SecretUnavailable, Unauthorized
from together_operator.domain.text import is_printable
from together_operator.domain.together import (
    Config,
    Endpoint,
    Import,
    InstanceType,
    Model,
    SupportedModel,
)
from together_operator.ports import ModelProvider, Priority, Secrets
from together_operator.reconcilers.listing import Listing

Place = tuple[str, SecretKeyRef | None]
"""What names the key of an object: its namespace, and the Secret that it refers to there."""

UNUSED_SECONDS = 3600.0
"""After which an account is forgotten with its lists, as that of a key that was replaced."""

CATALOG_SECONDS = 600.0
"""How long catalog, configs and prices are kept: they change with Together's releases."""


class _Cached:
    """A value that is read again when it is older than `seconds`."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._values: dict[str, tuple[float, object]] = {}

    def get(self, key: str) -> object | None:
        found = self._values.get(key)
        return found[1] if found is not None and self._clock() - found[0] < self._seconds else None

    def put(self, key: str, value: object) -> None:
        now = self._clock()
        self._values = {k: v for k, v in self._values.items() if now - v[0] < self._seconds}
        self._values[key] = (now, value)


@dataclass
class Account:
    """What the reconcilers use of one key."""

    provider: ModelProvider
    models: Listing[Model]
    imports: Listing[Import]
    endpoints: Listing[Endpoint]
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self._catalog: Listing[_Entry] = Listing(self._read_catalog, _catalog_group, self.clock)
        self._prices: Listing[_Entry] = Listing(self._read_prices, _catalog_group, self.clock)
        self._configs = _Cached(CATALOG_SECONDS, self.clock)

    async def base_models(self) -> tuple[SupportedModel, ...]:
        """The catalog of base models."""
        snapshot = await self._catalog.read(self.clock() - CATALOG_SECONDS)
        return tuple(e.item for e in snapshot.all() if isinstance(e.item, SupportedModel))

    async def instance_types(self, age: float = CATALOG_SECONDS) -> tuple[InstanceType, ...]:
        """The public price list with the room that there is, at most `age` seconds old."""
        snapshot = await self._prices.read(self.clock() - age)
        return tuple(e.item for e in snapshot.all() if isinstance(e.item, InstanceType))

    async def configs(self, model_id: str) -> tuple[Config, ...]:
        """Configs of a model."""
        known = self._configs.get(model_id)
        if isinstance(known, tuple):
            return known
        configs = tuple(await self.provider.list_configs(model_id))
        self._configs.put(model_id, configs)
        return configs

    async def _read_catalog(self, priority: Priority) -> list[_Entry]:
        del priority  # the catalog stands between a person and their model
        found = await self.provider.find_supported_models()
        return [_Entry(f"{entry.name} {entry.model_id}", entry) for entry in found]

    async def _read_prices(self, priority: Priority) -> list[_Entry]:
        del priority
        return [_Entry(t.name, t) for t in await self.provider.list_instance_types()]


@dataclass(frozen=True, slots=True)
class _Entry:
    """Gives an entry that has no id of its own one, so that it can be listed."""

    id: str
    item: SupportedModel | InstanceType


def _catalog_group(entry: _Entry) -> str:
    return entry.id


class Accounts:
    """Accounts by API key. A key that a Secret names is read anew each time it is needed.

    Args:
        own_key: gives the operator's own key as it is now, if it has one.
        connect: makes a provider for a key.
    """

    def __init__(
        self,
        own_key: Callable[[], SecretStr] | None,
        connect: Callable[[SecretStr], ModelProvider],
        secrets: Secrets,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own_key = own_key
        self._connect = connect
        self._secrets = secrets
        self._clock = clock
        self._accounts: dict[SecretStr, Account] = {}
        self._used: dict[SecretStr, float] = {}
        self._recent: dict[Place, tuple[float, SecretStr]] = {}
        self._tidied = clock()

    @property
    def has_own_key(self) -> bool:
        """Whether the operator has a key of its own."""
        return self._own_key is not None

    async def of(self, namespace: str, reference: SecretKeyRef | None) -> Account:
        """The account that an object uses.

        Raises:
            SecretUnavailable: the Secret or its key is missing or empty.
            Unauthorized: neither the object nor the operator has a key, or its file has none.
        """
        began = self._clock()
        if reference is not None:
            key = await read_key(self._secrets, namespace, reference)
        elif self._own_key is None:
            raise Unauthorized(
                "No Together API key: set spec.apiKeySecretRef, or TOGETHER_API_KEY of the operator"
            )
        else:
            key = self._own_key()
        account = self._account(key)
        self._recent[_place(namespace, reference)] = began, key
        if began - self._tidied >= UNUSED_SECONDS:
            self._forget_unused(began)
        return account

    def recent(self, place: Place, seconds: float) -> Account | None:
        """The account that `of` gave for a place, if it last did at most `seconds` ago."""
        found, now = self._recent.get(_place(*place)), self._clock()
        if found is None or now - found[0] > seconds:
            return None
        self._used[found[1]] = now
        return self._accounts.get(found[1])

    def _account(self, key: SecretStr) -> Account:
        account = self._accounts.get(key)
        self._used[key] = self._clock()
        if account is None:
            provider = self._connect(key)
            account = self._accounts[key] = Account(
                provider=provider,
                models=Listing(provider.list_models, _bare_name, self._clock),
                imports=Listing(provider.list_imports, _model_id, self._clock),
                endpoints=Listing(provider.list_endpoints, _bare_name, self._clock),
                clock=self._clock,
            )
        return account

    def _forget_unused(self, now: float) -> None:
        self._tidied, earliest = now, now - UNUSED_SECONDS
        for key in [key for key, used in self._used.items() if used < earliest]:
            del self._used[key], self._accounts[key]
        self._recent = {p: found for p, found in self._recent.items() if found[1] in self._used}


async def read_key(secrets: Secrets, namespace: str, reference: SecretKeyRef) -> SecretStr:
    """One key of a Secret: a token or a URL, in printable characters.

    Raises:
        SecretUnavailable: the Secret or the key is missing, or its value is empty or malformed.
    """
    try:
        values = await secrets.read(namespace, reference.name)
    except SecretUnavailable as error:
        raise SecretUnavailable(reference.name, error.key or reference.key, error.problem) from None
    value = values.get(reference.key)
    if value is None:
        raise SecretUnavailable(reference.name, reference.key, "the Secret has no such key")
    stripped = value.get_secret_value().strip()
    if not stripped:
        raise SecretUnavailable(reference.name, reference.key, "the value is empty")
    if not is_printable(stripped):
        problem = "the value has characters that no token or URL has"
        raise SecretUnavailable(reference.name, reference.key, problem)
    return SecretStr(stripped)


def _place(namespace: str, reference: SecretKeyRef | None) -> Place:
    """The operator's own key is the same in all namespaces."""
    return ("" if reference is None else namespace), reference


def _bare_name(item: Model | Endpoint) -> str:
    return item.bare_name


def _model_id(item: Import) -> str:
    return item.model_id
