"""Kopf's HTTP session, and a shorter way for what it lists.

For each object of a list kopf makes a task, a queue, three loggers and several wrappers, which is
half of what a restart costs when thousands of objects have settled. Kopf takes an HTTP session of
its user's (`kopf.AiohttpSession`): ours shows a page of a list to the observer of its kind as a
whole, and leaves kopf one object of it. What a watch tells goes through kopf's handlers as ever;
and if kopf read lists in another way one day, listed objects would again, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import kopf
from pydantic_core import from_json

from together_operator.engine.store import Body

Show = Callable[[Body], None]

AT_ONCE = 100
"""Objects of a page until others have their turn."""


class Sessions:
    """Makes kopf's session of what a login found.

    Args:
        listed: by plural, what is shown each object that was listed.
    """

    def __init__(self, listed: Mapping[str, Show]) -> None:
        self._answers = _answers(listed)
        self._last: tuple[kopf.ConnectionInfo, kopf.AiohttpSession] | None = None

    def of(self, login: kopf.ConnectionInfo) -> kopf.AiohttpSession:
        """The session for a login; the same again for the same one.

        By that kopf sees that credentials which were refused have come again, and does not try
        them for ever.
        """
        if self._last is None or self._last[0] != login:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=login.as_ssl_context()),
                headers=login.as_http_headers(),
                proxy=login.proxy_url,
                trust_env=login.trust_env,
                response_class=self._answers,
            )
            found = kopf.AiohttpSession(
                server=login.server,
                priority=login.priority,
                default_namespace=login.default_namespace,
                expiration=login.expiration,
                aiohttp_session=session,
            )
            self._last = login, found
        return self._last[1]


def _answers(listed: Mapping[str, Show]) -> type[aiohttp.ClientResponse]:
    class Answer(aiohttp.ClientResponse):
        async def json(self, **options: Any) -> Any:
            try:
                found = from_json(await self.read(), cache_strings="keys")
            except ValueError:
                return await super().json(**options)  # which says what it is instead
            show = listed.get(self.url.path.rpartition("/")[2])
            if show is not None and self.method == "GET" and self.ok:
                await _show(found, show)
            return found

    return Answer


async def _show(page: Any, show: Show) -> None:
    """Show each object of a page, and leave one: kopf posts events only once it handled one."""
    bodies = page.get("items") or []
    for number, body in enumerate(bodies, 1):
        show(body)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    del bodies[1:]
