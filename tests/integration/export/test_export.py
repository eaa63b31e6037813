"""From clicks to Git: what people made by hand is taken over as it is, and nothing is changed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import SecretStr

from tests.support.cluster import ThrowawayCluster
from tests.support.environment import (
    BUCKET,
    OperatorProcess,
    Simulators,
    install,
    operator_environment,
    s3_client,
    stopping,
    until,
)
from tests.support.simulators.tiny_models import write_adapter, write_archive, write_model
from together_operator.adapters.together_v2 import TogetherV2
from together_operator.domain.together import (
    DeploymentState,
    ImportState,
    NewDeployment,
    NewModel,
    Placement,
    TrafficShare,
    Tuning,
)

pytestmark = pytest.mark.integration
BASE = "Qwen/Qwen2.5-0.5B-Instruct"
SECONDS = 60.0
SETTINGS: dict[str, dict[str, Any]] = {
    "placed": {"placement": Placement(regions=("us-central-4",), hipaa=True)},
    "scaled": {"max_replicas": 3, "tuning": Tuning(scale_up_window=60, scale_to_zero_window=86400)},
    "idling": {"tuning": Tuning(inactive_timeout=1440)},
}
"""One endpoint for each kind of setting; the times are too long to pass here."""


@dataclass
class Clicked:
    """Five models and five endpoints that no object asked for, and a cluster without objects."""

    cluster: ThrowawayCluster
    simulators: Simulators
    operator: OperatorProcess

    @property
    def environment(self) -> dict[str, str]:
        """Of the command, as somebody has it who may do everything."""
        return {
            **self.operator.environment,
            "KUBECONFIG": str(self.cluster.kubeconfig()),
        }

    def objects(self) -> list[dict[str, Any]]:
        """All of both kinds."""
        found = json.loads(
            self.cluster.kubectl("get", "custommodels,modeldeployments", "-o", "json")
        )
        items: list[dict[str, Any]] = found["items"]
        return items

    def changes(self) -> list[dict[str, Any]]:
        """Every call to Together that changed something."""
        return [entry for entry in self.simulators.audit() if entry["committed"]]


@pytest.fixture(scope="module")
def clicked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clicked]:
    folder = tmp_path_factory.mktemp("export")
    with ExitStack() as stack:
        simulators = Simulators.start(time_scale=400)
        stack.enter_context(stopping(simulators))
        cluster = stack.enter_context(ThrowawayCluster.start("export"))
        install(cluster)
        asyncio.run(_click(simulators, folder))
        environment = operator_environment(cluster, simulators, poll_seconds="0.5")
        s3 = simulators.urls["s3"]  # as with a role of its own, which reads the bucket
        environment["AWS_ACCESS_KEY_ID"] = s3["accessKeyID"]
        environment["AWS_SECRET_ACCESS_KEY"] = s3["secretAccessKey"]
        operator = OperatorProcess(environment, folder / "operator.log")
        stack.enter_context(stopping(operator))
        operator.start()
        operator.wait_ready()
        yield Clicked(cluster, simulators, operator)


def test_what_is_exported_becomes_ready_and_nothing_is_changed_at_together(
    clicked: Clicked, tmp_path: Path
) -> None:
    exported = subprocess.run(
        [sys.executable, "-m", "together_operator", "export", "-n", "default"],
        env=clicked.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert exported.stderr == ""
    manifests = tmp_path / "together.yaml"
    manifests.write_text(exported.stdout)
    kinds = [document["kind"] for document in yaml.safe_load_all(exported.stdout)]
    assert (kinds.count("CustomModel"), kinds.count("ModelDeployment")) == (5, 5)
    assert clicked.objects() == [], "an empty cluster"
    before = clicked.changes()

    clicked.cluster.kubectl("apply", "-f", str(manifests))
    until(lambda: _ready(clicked) == 10, SECONDS, "all ten are Ready", lambda: _told(clicked))

    assert clicked.changes() == before
    clicked.cluster.kubectl("delete", "-f", str(manifests), "--timeout=60s")
    assert clicked.objects() == []
    assert clicked.changes() == before, "what was clicked stays when its objects go"


def _ready(clicked: Clicked) -> int:
    return sum(
        condition["type"] == "Ready" and condition["status"] == "True"
        for found in clicked.objects()
        for condition in found.get("status", {}).get("conditions", [])
    )


def _told(clicked: Clicked) -> str:
    lines = [
        f"{found['kind']} {found['metadata']['name']}: {condition['reason']} {condition['message']}"
        for found in clicked.objects()
        for condition in found.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready"
    ]
    return "\n".join([*lines, clicked.operator.tail()])


async def _click(simulators: Simulators, folder: Path) -> None:
    """Make what somebody may have made in the web interface."""
    for number in range(3):
        model = write_model(folder / f"model-{number}", seed=number)
        simulators.add_repository(f"acme/model-{number}", model)
    simulators.add_repository("acme/adapter", write_adapter(folder / "adapter"))
    archive = write_archive(folder / "model-0", folder / "packed.zip")
    client = s3_client(simulators)
    client.upload_file(str(archive), BUCKET, "models/packed.zip")
    packed: str = client.generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": "models/packed.zip"}, ExpiresIn=7200
    )
    hub = "https://huggingface.co/acme"
    urls = {f"Model.{n}": f"{hub}/model-{n}" for n in range(3)}
    urls |= {"my_adapter": f"{hub}/adapter", "packed": packed}
    provider = TogetherV2(SecretStr(simulators.key), simulators.together)
    try:
        bases = await provider.find_supported_models()
        base = next(b.model_id for b in bases if b.name == BASE)
        models = {name: await _import(provider, name, url, base) for name, url in urls.items()}
        for endpoint, served in (("Chat", "Model.0"), ("packed-chat", "packed")):
            await _serve(provider, endpoint, models[served])
        for endpoint, settings in SETTINGS.items():
            await _serve(provider, endpoint, models["Model.1"], **settings)
    finally:
        await provider.close()


async def _import(provider: TogetherV2, name: str, url: str, base: str) -> str:
    kind: Literal["adapter", "model"] = "adapter" if "adapter" in name else "model"
    words = "made by hand" if name == "packed" else ""
    model = await provider.create_model(NewModel(name, base, kind, words))
    job = await provider.start_import(model.id, SecretStr(url))
    async with asyncio.timeout(SECONDS):
        while job.state is not ImportState.SUCCEEDED:
            assert job.state is not ImportState.FAILED, job.message
            await asyncio.sleep(0.1)
            job = await provider.get_import(job.id)
    return model.id


async def _serve(provider: TogetherV2, name: str, model_id: str, **settings: Any) -> None:
    endpoint = await provider.create_endpoint(name)
    config = (await provider.list_configs(model_id))[0]
    model = f"projects/{endpoint.project_id}/models/{model_id}"
    new = NewDeployment(f"{name.lower()}-1", model, config.resource, 1, 1)
    new = replace(new, **settings)
    deployment = await provider.create_deployment(endpoint.id, new)
    share = TrafficShare(deployment.id, 1)
    await provider.set_traffic(endpoint.id, [share], endpoint.etag)
    async with asyncio.timeout(SECONDS):
        while deployment.state is not DeploymentState.READY:
            await asyncio.sleep(0.1)
            [deployment] = await provider.list_deployments(endpoint.id)
