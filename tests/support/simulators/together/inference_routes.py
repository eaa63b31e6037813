"""The routes of inference: embeddings, completions and chat."""

import uuid
from typing import Any

from aiohttp import web

from tests.support.simulators.together.errors import GatewayError
from tests.support.simulators.together.records import Deployment
from tests.support.simulators.together.web import Call, endpoint

_DEPLOYMENT_HEADER = "x-sim-deployment"
"""Names the deployment that answered, so that tests can follow a traffic split."""


async def embeddings(call: Call) -> dict[str, Any]:
    """POST /v1/embeddings."""
    deployment = _route(call)
    wanted = call.body.get("input")
    texts = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise GatewayError(400, "input: must be a string or a list of strings")
    answer = await call.platform.inference.embeddings(deployment, texts)
    return {**answer, "model": call.body["model"]}


async def completions(call: Call) -> dict[str, Any]:
    """POST /v1/completions."""
    deployment = _route(call)
    prompt = call.body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise GatewayError(400, "prompt: is required")
    text, usage = await call.platform.inference.complete(deployment, prompt, _length(call))
    choice = {"index": 0, "text": text, "finish_reason": "length"}
    return _answer(call, "text.completion", choice, usage)


async def chat(call: Call) -> dict[str, Any]:
    """POST /v1/chat/completions."""
    deployment = _route(call)
    messages = call.body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise GatewayError(400, "messages: is required")
    prompt = " ".join(str(message.get("content", "")) for message in messages)
    text, usage = await call.platform.inference.complete(deployment, prompt, _length(call))
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    return _answer(call, "chat.completion", choice, usage)


def _route(call: Call) -> Deployment:
    projects = {project.slug: project for project in call.platform.projects.values()}
    deployment = call.platform.inference.route(projects, call.project, call.body.get("model"))
    call.headers[_DEPLOYMENT_HEADER] = deployment.id
    return deployment


def _length(call: Call) -> int:
    length = call.body.get("max_tokens", 8)
    if not isinstance(length, int) or length < 1:
        raise GatewayError(400, "max_tokens: must be a positive number")
    return length


def _answer(call: Call, kind: str, choice: dict[str, Any], usage: Any) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "object": kind,
        "created": int(call.platform.clock.now()),
        "model": call.body["model"],
        "choices": [choice],
        "prompt": [],
        "usage": usage,
    }


def add_routes(app: web.Application) -> None:
    """Register inference."""
    app.router.add_post("/v1/embeddings", endpoint(embeddings))
    app.router.add_post("/v1/completions", endpoint(completions))
    app.router.add_post("/v1/chat/completions", endpoint(chat))
