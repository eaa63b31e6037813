"""The official SDK 2.42.0 as a process: one JSON request a line in, one JSON answer a line out.

It runs with the folder that holds this SDK in front of the path, and imports nothing of ours: the
same process can't have the SDK 3.1.1, too.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import together
from together import Together


def _calls(client: Any) -> dict[str, Callable[..., Any]]:
    """The SDK's methods, by the names that `Calls` has for the routes."""
    return {
        "whoami": client.whoami,
        "list_models": client.models.list,
        "upload_model": client.models.upload,
        "get_job": client.models.uploads.status,
        "list_hardware": client.endpoints.list_hardware,
        "list_endpoints": client.endpoints.list,
        "get_endpoint": client.endpoints.retrieve,
        "create_endpoint": client.endpoints.create,
        "update_endpoint": client.endpoints.update,
        "delete_endpoint": client.endpoints.delete,
    }


def _plain(answer: Any) -> Any:
    """The answer by its names on the wire, with what the SDK's types know of it and no more."""
    if isinstance(answer, list):
        return [_plain(item) for item in answer]
    if answer is None:
        return None
    known = type(answer).model_fields
    document = answer.model_dump(mode="json", by_alias=True)
    names = {field.alias or name for name, field in known.items()}
    return {name: value for name, value in document.items() if name in names}


def _answer(client: Any, line: str) -> dict[str, Any]:
    request = json.loads(line)
    try:
        answer = _calls(client)[request["call"]](*request["args"], **request["kwargs"])
    except together.APIStatusError as error:
        return {"status": error.status_code, "body": error.body}
    except together.APIConnectionError as error:
        return {"lost": type(error).__name__}
    return {"answer": _plain(answer)}


def main() -> None:
    """Serve until the input ends."""
    base_url, key = sys.argv[1:3]
    assert together.__version__ == "2.42.0", together.__version__
    client = Together(api_key=key, base_url=base_url, max_retries=0, timeout=20.0)
    for line in sys.stdin:
        print(json.dumps(_answer(client, line)), flush=True)


if __name__ == "__main__":
    main()
