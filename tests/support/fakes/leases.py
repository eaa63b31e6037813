"""The one Lease of a cluster, without the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from kubernetes.aio.client.exceptions import ApiException


class Leases:
    """Stores it with an API server's precondition."""

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        self.stored = stored

    async def ask(
        self,
        method: Literal["GET", "POST", "PUT"],
        path: str,
        names: Mapping[str, str],
        *,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """One request."""
        del path, names
        if method != "POST" and self.stored is None:
            raise ApiException(status=404)
        if body is not None:
            known = self.stored["metadata"]["resourceVersion"] if self.stored else None
            if body["metadata"].get("resourceVersion") != known:
                raise ApiException(status=409)
            metadata = {**body["metadata"], "resourceVersion": str(int(known or "0") + 1)}
            self.stored = {**body, "metadata": metadata}
        return self.stored
