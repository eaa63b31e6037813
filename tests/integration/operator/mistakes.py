"""What people get wrong: how it is made, what the object shall say, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.operator.surroundings import CHAT, PRIVATE
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support.manifests import (
    CHAT_BASE,
    EMBEDDING_BASE,
    custom_model,
    deployment_of,
    hugging_face,
    model_deployment,
    presigned,
    secret,
)
from tests.support.simulators.together.catalog import default_catalog
from tests.support.simulators.together.simulator import FORBIDDEN_KEY, OTHER_KEY, READ_ONLY_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.operator.workspace import Object, Workspace

API_KEY = "TOGETHER_API_KEY"
WRONG_KEY = "tgp_v1_nobody_knows_this_one"
WRONG_TOKEN = "hf_nobodyknowsthistoken"
WRONG_SECRET_ACCESS_KEY = "not-the-secret-access-key"


@dataclass(frozen=True)
class Mistake:
    """One object with something wrong about it; its name is the mistake's.

    Args:
        reason: of the condition `Ready`.
        words: parts of its message; the remote system's own where it has any.
        make: gives the manifests, the object among them.
        mend: takes the cause away, without touching the operator.
    """

    name: str
    reason: str
    words: tuple[str, ...]
    make: Callable[[Workspace], list[Object]]
    mend: Callable[[Workspace], None]
    kind: str = MODEL


def _with_api_key(name: str, **values: str) -> Callable[[Workspace], list[Object]]:
    """A model with an API key of its own, in a Secret with these values; none: no Secret."""

    def make(workspace: Workspace) -> list[Object]:
        reference = {"apiKeySecretRef": {"name": name}}
        model = custom_model(name, hugging_face(CHAT), **reference)
        return [secret(name, **values), model] if values else [model]

    return make


def _good_api_key(name: str) -> Callable[[Workspace], None]:
    return lambda ws: ws.apply(secret(name, **{API_KEY: ws.simulators.key}))


def _from_hub(name: str, token: str) -> Callable[[Workspace], list[Object]]:
    reference = {"name": name, "key": "token"}
    source = hugging_face(PRIVATE, tokenSecretRef=reference)
    return lambda _: [secret(name, token=token), custom_model(name, source)]


def _archive(name: str) -> Callable[[Workspace], list[Object]]:
    return lambda ws: [custom_model(name, {"s3": ws.s3(_key(ws, name))})]


def _key(workspace: Workspace, name: str) -> str:
    return f"{workspace.namespace}/{name}.zip"


def _wrapped(workspace: Workspace) -> list[Object]:
    archive = workspace.surroundings.folder / "wrapped.zip"
    workspace.upload(archive, _key(workspace, "wrapped"))
    return _archive("wrapped")(workspace)


def _good_archive(name: str) -> Callable[[Workspace], None]:
    return lambda ws: ws.upload(ws.surroundings.folder / "chat.zip", _key(ws, name))


def _wrong_credentials(workspace: Workspace) -> list[Object]:
    source = workspace.s3("shared/chat.zip") | {"credentialsSecretRef": {"name": "wrong-s3"}}
    access = workspace.simulators.urls["s3"]["accessKeyID"]
    values = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": WRONG_SECRET_ACCESS_KEY}
    return [secret("wrong-s3", **values), custom_model("wrong-credentials", {"s3": source})]


def _good_credentials(workspace: Workspace) -> None:
    good = workspace.s3_secret()
    workspace.apply(good | {"metadata": {**good["metadata"], "name": "wrong-s3"}})


def _url(name: str, seconds: int | None) -> Callable[[Workspace], list[Object]]:
    """A presigned URL that is valid for so long, or something that is no URL."""

    def make(workspace: Workspace) -> list[Object]:
        url = "chat.zip" if seconds is None else workspace.presign("shared/chat.zip", seconds)
        return [secret(name, url=url), custom_model(name, presigned(name))]

    return make


def _good_url(name: str) -> Callable[[Workspace], None]:
    return lambda ws: ws.apply(secret(name, url=ws.presign("shared/chat.zip", 3 * 3600)))


def _unserved_files(workspace: Workspace) -> list[Object]:
    workspace.upload(
        workspace.surroundings.folder / "chat" / "model.safetensors",
        f"{workspace.namespace}/pickled/pytorch_model.bin",
    )
    return [custom_model("pickled", **workspace.from_prefix(f"{workspace.namespace}/pickled/"))]


def _good_files(name: str) -> Callable[[Workspace], None]:
    def mend(workspace: Workspace) -> None:
        for path in (workspace.surroundings.folder / "chat").iterdir():
            workspace.upload(path, f"{workspace.namespace}/{name}/{path.name}")

    return mend


def _empty_prefix(workspace: Workspace) -> list[Object]:
    return [custom_model("empty", **workspace.from_prefix(f"{workspace.namespace}/empty/"))]


def _taken(workspace: Workspace) -> list[Object]:
    base = next(m.variants[0].model_id for m in default_catalog().models if m.name == CHAT_BASE)
    name = workspace.remote_name("taken")
    new = {"name": name, "type": "model", "baseModelId": base}
    workspace.simulators.call("POST", "models", new)
    return [custom_model("taken", hugging_face(CHAT))]


def _set_free(workspace: Workspace) -> None:
    model = workspace.models()[workspace.remote_name("taken")]
    workspace.simulators.call("DELETE", f"models/{model['id']}")


def _of_other_project(_: Workspace) -> list[Object]:
    reference = {"apiKeySecretRef": {"name": "other-key"}}
    return [
        secret("other-key", **{API_KEY: OTHER_KEY}),
        custom_model("of-other-project", hugging_face(CHAT), **reference),
        model_deployment("of-other-project", "of-other-project"),
    ]


def _scaled_by(name: str, metric: str) -> Object:
    metrics = [{"name": metric, "target": 500}]
    return deployment_of(name, EMBEDDING_BASE, autoscaling={"maxReplicas": 2, "metrics": metrics})


def _missing_repository(workspace: Workspace) -> str:
    return f"{workspace.namespace}/not-yet"


MISTAKES = (
    Mistake(
        "secret-missing",
        "SecretMissing",
        ("'secret-missing'", API_KEY, "no such Secret"),
        _with_api_key("secret-missing"),
        _good_api_key("secret-missing"),
    ),
    Mistake(
        "key-missing",
        "SecretMissing",
        (API_KEY, "no such key"),
        _with_api_key("key-missing", OTHER="x"),
        _good_api_key("key-missing"),
    ),
    Mistake(
        "key-empty",
        "SecretMissing",
        (API_KEY, "empty"),
        _with_api_key("key-empty", **{API_KEY: " "}),
        _good_api_key("key-empty"),
    ),
    Mistake(
        "wrong-key",
        "Unauthorized",
        ("401", "Invalid API key provided", "spec.apiKeySecretRef"),
        _with_api_key("wrong-key", **{API_KEY: WRONG_KEY}),
        _good_api_key("wrong-key"),
    ),
    Mistake(
        "no-permission",
        "Forbidden",
        ("403", "not permitted"),
        _with_api_key("no-permission", **{API_KEY: FORBIDDEN_KEY}),
        _good_api_key("no-permission"),
    ),
    Mistake(
        "may-only-read",
        "Forbidden",
        ("403", "not permitted"),
        _with_api_key("may-only-read", **{API_KEY: READ_ONLY_KEY}),
        _good_api_key("may-only-read"),
    ),
    Mistake(
        "wrong-token",
        "SourceUnauthorized",
        ("Hugging Face", "token"),
        _from_hub("wrong-token", WRONG_TOKEN),
        lambda ws: ws.apply(secret("wrong-token", token=ws.simulators.urls["hub"]["token"])),
    ),
    Mistake(
        "no-repository",
        "SourceNotFound",
        ("Hugging Face", "not-yet", "does not exist"),
        lambda ws: [custom_model("no-repository", hugging_face(_missing_repository(ws)))],
        lambda ws: ws.simulators.add_repository(
            _missing_repository(ws), ws.surroundings.folder / "chat"
        ),
    ),
    Mistake(
        "no-object",
        "SourceNotFound",
        ("no-object.zip", "NoSuchKey"),
        _archive("no-object"),
        _good_archive("no-object"),
    ),
    Mistake(
        "empty",
        "SourceNotFound",
        ("has no files",),
        _empty_prefix,
        _good_files("empty"),
    ),
    Mistake(
        "wrong-credentials",
        "SourceUnauthorized",
        ("SignatureDoesNotMatch", "credentials"),
        _wrong_credentials,
        _good_credentials,
    ),
    Mistake(
        "wrapped",
        "SourceInvalid",
        ("all files are in 'chat', not at the archive's root", "pack the directory's content"),
        _wrapped,
        _good_archive("wrapped"),
    ),
    Mistake(
        "pickled",
        "SourceInvalid",
        ("'config.json' at the root", "name the directory that `save_pretrained` wrote"),
        _unserved_files,
        _good_files("pickled"),
    ),
    Mistake(
        "base-unknown",
        "BaseModelUnknown",
        ("'Qwen/Qwen2.5-0.5B'", "the nearest are", CHAT_BASE),
        lambda _: [custom_model("base-unknown", hugging_face(CHAT), baseModel="Qwen/Qwen2.5-0.5B")],
        lambda ws: ws.patch(MODEL, "base-unknown", baseModel=CHAT_BASE),
    ),
    Mistake("taken", "NameTaken", ("already at Together",), _taken, _set_free),
    Mistake(
        "expiring",
        "URLExpired",
        ("expires at", "100 minutes"),
        _url("expiring", 30 * 60),
        _good_url("expiring"),
    ),
    Mistake(
        "no-url",
        "SourceInvalid",
        ("not a URL",),
        _url("no-url", None),
        _good_url("no-url"),
    ),
    Mistake(
        "no-model",
        "ModelNotFound",
        ("no CustomModel later", "spec.modelRef.name"),
        lambda _: [model_deployment("no-model", "later")],
        lambda ws: ws.apply(custom_model("later", hugging_face(CHAT))),
        DEPLOYMENT,
    ),
    Mistake(
        "of-other-project",
        "ModelOfAnotherProject",
        ("of project other", "works in acme", "spec.apiKeySecretRef"),
        _of_other_project,
        lambda ws: ws.patch(DEPLOYMENT, "of-other-project", apiKeySecretRef={"name": "other-key"}),
        DEPLOYMENT,
    ),
    Mistake(
        "of-nobody",
        "ModelOfAnotherProject",
        ("Model nobody/model", "works in acme"),
        lambda _: [deployment_of("of-nobody", "nobody/model")],
        lambda ws: ws.patch(DEPLOYMENT, "of-nobody", model=CHAT_BASE),
        DEPLOYMENT,
    ),
    Mistake(
        "misspelt",
        "ModelNotFound",
        ("no model Qwen/Qwen2.5-0.5B-Instruc ", f"the nearest are {CHAT_BASE}", "spec.model"),
        lambda _: [deployment_of("misspelt", CHAT_BASE[:-1])],
        lambda ws: ws.patch(DEPLOYMENT, "misspelt", model=CHAT_BASE),
        DEPLOYMENT,
    ),
    Mistake(
        "measured-by-tokens",
        "MetricUnfit",
        ("makes embeddings", "ttft", "Use inflight_requests"),
        lambda _: [_scaled_by("measured-by-tokens", "ttft")],
        lambda ws: ws.apply(_scaled_by("measured-by-tokens", "e2e_latency")),
        DEPLOYMENT,
    ),
    Mistake(
        "unknown-config",
        "NoConfig",
        ("No config of this model has config cr_nope", "There are: 1x"),
        lambda _: [deployment_of("unknown-config", CHAT_BASE, config="cr_nope")],
        lambda ws: ws.patch(DEPLOYMENT, "unknown-config", config=None),
        DEPLOYMENT,
    ),
    Mistake(
        "unknown-region",
        "Rejected",
        ("unknown region 'mars-1'", "us-central-4"),
        lambda _: [deployment_of("unknown-region", CHAT_BASE, placement={"regions": ["mars-1"]})],
        lambda ws: ws.patch(DEPLOYMENT, "unknown-region", placement=None),
        DEPLOYMENT,
    ),
    Mistake(
        "of-failed-model",
        "ModelFailed",
        ("CustomModel secret-missing", "no such Secret"),
        lambda _: [model_deployment("of-failed-model", "secret-missing")],
        lambda _: None,  # it is mended with its model
        DEPLOYMENT,
    ),
)
