"""A stream of inference requests to an endpoint, as applications send them while it changes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from types import TracebackType

    from tests.support.environment import Simulators

SENDERS = 2
PAUSE_SECONDS = 0.01
PATIENCE_SECONDS = 30.0
ANSWERED_BY = "x-sim-deployment"
"""Header in which the simulator names the deployment that answered."""


class RequestStream:
    """Sends chat requests from threads, each one after another, for as long as the block runs."""

    def __init__(self, simulators: Simulators, endpoint: str) -> None:
        self._url = f"{simulators.together}/v1/chat/completions"
        self._headers = {"Authorization": f"Bearer {simulators.key}"}
        self._body = {"model": endpoint, "messages": [{"role": "user", "content": "the king"}]}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(SENDERS)]
        self.outcomes: Counter[str] = Counter()
        """Number of requests by HTTP status, or by what broke."""
        self.answered: Counter[str] = Counter()
        """Number of requests by the id of the deployment that answered."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def sent(self) -> int:
        """Number of requests that were sent, and answered or lost."""
        return self.outcomes.total()

    @property
    def failed(self) -> int:
        """Those that were not answered with 200."""
        return self.sent - self.outcomes["200"]

    def until_answered_by(self, deployment_id: str) -> None:
        """Wait until a deployment answers requests."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.answered[deployment_id]:
            assert time.monotonic() < deadline, f"{deployment_id} answers nothing: {self.outcomes}"
            time.sleep(PAUSE_SECONDS)

    def _send(self) -> None:
        with httpx.Client(headers=self._headers, timeout=PATIENCE_SECONDS) as client:
            while not self._over.is_set():
                self._note(client)
                self._over.wait(PAUSE_SECONDS)

    def _note(self, client: httpx.Client) -> None:
        try:
            answer = client.post(self._url, json=self._body)
        except httpx.HTTPError as error:
            outcome, deployment = type(error).__name__, ""
        else:
            outcome, deployment = str(answer.status_code), answer.headers.get(ANSWERED_BY, "")
        with self._lock:
            self.outcomes[outcome] += 1
            if outcome == "200":
                self.answered[deployment] += 1
