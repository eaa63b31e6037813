"""Hugging Face through `huggingface_hub`: what a repository holds. Never on the event loop.

The library is imported with the first look: it takes 0.3 s to load.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from together_operator.domain import errors
from together_operator.domain.source import SourceFacts

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import ModelInfo

TIMEOUT = 20.0
"""Seconds for one request."""

ADAPTER_CONFIG = "adapter_config.json"
MAX_CONFIG_BYTES = 256 * 1024
"""An adapter's configuration is some KiB; a larger file is not read."""

_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")


class HuggingFaceHub:
    """`Hub` of the ports.

    Args:
        endpoint: base URL, such as https://huggingface.co.
        executor: bounded threads, in which every call runs.
    """

    def __init__(self, endpoint: str, executor: Executor) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._executor = executor

    @staticmethod
    def preload() -> None:
        """Load library and certificates before the first look; blocks, so call it in a thread."""
        from huggingface_hub import HfApi, get_session

        HfApi.model_info  # noqa: B018 - the library loads its parts when they are touched
        get_session()

    async def look(
        self, repo: str, token: SecretStr | None, revision: str | None = None
    ) -> SourceFacts:
        """Commit, number of files, bytes and base model of a revision; None: the default branch.

        The base model is what the model card says (its first, if it says several), else what an
        adapter's configuration says, else the repository itself.

        Raises:
            NotFound: there is no such repository or revision, or it is private and the token
                can't see it.
            Forbidden: it is gated, and the token was not let in.
            Unauthorized: the hub does not know the token.
            RateLimited, Unavailable, Rejected.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._executor, partial(self._look, repo, token, revision)
        )

    def _look(self, repo: str, token: SecretStr | None, revision: str | None) -> SourceFacts:
        from huggingface_hub import HfApi

        # Without a token of its own a look is anonymous: it never uses the operator's login.
        secret: str | bool = token.get_secret_value() if token is not None else False
        api = HfApi(endpoint=self._endpoint, token=secret, library_name="together-operator")
        with _translated(repo, with_token=token is not None):
            info = api.model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT)
            siblings = info.siblings or []
            if info.gated:
                # Anybody may read a gated repository's metadata, but not its files.
                _touch(api, info, next((s.rfilename for s in siblings), "config.json"))
            sizes = [s.size for s in siblings if s.size is not None]
            return SourceFacts(
                revision=info.sha or "",
                files=len(siblings),
                size_bytes=sum(sizes) if len(sizes) == len(siblings) else None,
                base_model=_of_card(info) or _of_adapter(api, info) or info.id,
            )


def _of_card(info: ModelInfo) -> str | None:
    named = info.card_data.get("base_model") if info.card_data is not None else None
    first = named[0] if isinstance(named, list) and named else named
    return first if isinstance(first, str) and first else None


def _of_adapter(api: HfApi, info: ModelInfo) -> str | None:
    """From what the hub has read of an adapter's configuration, else from the file itself."""
    peft = (info.config or {}).get("peft") or {}
    said = peft.get("base_model_name_or_path")
    file = next((s for s in info.siblings or [] if s.rfilename == ADAPTER_CONFIG), None)
    if said is None and file is not None and (file.size or 0) <= MAX_CONFIG_BYTES:
        said = _read_json(api, info, ADAPTER_CONFIG).get("base_model_name_or_path")
    # Often it is a path on the machine of whoever trained the adapter.
    return said if isinstance(said, str) and _REPOSITORY.fullmatch(said) else None


def _read_json(api: HfApi, info: ModelInfo, path: str) -> dict[str, Any]:
    from huggingface_hub import get_session, hf_raise_for_status

    answer = get_session().get(
        _url(api, info, path),
        headers={"Authorization": f"Bearer {api.token}"} if api.token else {},
        timeout=TIMEOUT,
        follow_redirects=True,
    )
    hf_raise_for_status(answer)
    try:
        found = json.loads(answer.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _touch(api: HfApi, info: ModelInfo, path: str) -> None:
    from huggingface_hub import get_hf_file_metadata

    get_hf_file_metadata(_url(api, info, path), token=api.token, timeout=TIMEOUT)


def _url(api: HfApi, info: ModelInfo, path: str) -> str:
    from huggingface_hub import hf_hub_url

    return hf_hub_url(info.id, path, revision=info.sha, endpoint=api.endpoint)


@contextmanager
def _translated(repo: str, *, with_token: bool) -> Iterator[None]:
    """Errors of the library become ours; its texts hold URLs and the hub's answers."""
    from huggingface_hub import errors as hub

    try:
        yield
    except hub.GatedRepoError as error:
        who = "the token has" if with_token else "there is no token that has"
        message = f"Hugging Face repository {repo} is gated, and {who} not been let in yet"
        raise errors.Forbidden(message, status=_status(error)) from None
    except hub.DisabledRepoError as error:
        message = f"Hugging Face has disabled the repository {repo}"
        raise errors.Forbidden(message, status=_status(error)) from None
    except hub.RevisionNotFoundError as error:
        message = f"Hugging Face repository {repo} has no such revision"
        raise errors.NotFound(message, status=_status(error)) from None
    except hub.RepositoryNotFoundError as error:
        private = "may not be read with this token" if with_token else "is private, needing a token"
        message = f"Hugging Face repository {repo} does not exist or {private}"
        raise errors.NotFound(message, status=_status(error)) from None
    except hub.HfHubHTTPError as error:
        raise _refusal(error, repo) from None
    except hub.HFValidationError:
        raise errors.Rejected(f"{repo} is not a valid name of a repository") from None
    except (hub.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        message = f"Hugging Face can't be reached ({type(error).__name__})"
        raise errors.Unavailable(message) from None
    except (KeyError, TypeError, ValueError):
        # A proxy's page, or JSON that is none of the hub's.
        message = f"Hugging Face's answer for repository {repo} can't be understood"
        raise errors.Unavailable(message) from None


def _status(error: HfHubHTTPError) -> int:
    return int(error.response.status_code)


def _refusal(error: HfHubHTTPError, repo: str) -> errors.RemoteError:
    status = _status(error)
    message = f"Hugging Face answers {status} for repository {repo}"
    match status:
        case 401:
            message = f"Hugging Face does not know the token that is given for repository {repo}"
            return errors.Unauthorized(message, status=status)
        case 403:
            return errors.Forbidden(message, status=status)
        case 404:
            return errors.NotFound(message, status=status)
        case 429:
            return errors.RateLimited(message, retry_after=_seconds(error))
    if status >= 500 or status == 408:
        return errors.Unavailable(message, status=status)
    return errors.Rejected(message, status=status)


def _seconds(error: HfHubHTTPError) -> float | None:
    """When to come back: the hub says it in `RateLimit` (IETF draft), proxies in `Retry-After`."""
    from huggingface_hub import utils

    parse = utils.parse_ratelimit_headers  # type: ignore[attr-defined]
    limit = parse(error.response.headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    said = error.response.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else None
