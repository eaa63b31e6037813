"""Complete manifests, in which every field of the specs occurs, and changes to them."""

from __future__ import annotations

import copy
import re
from typing import Any, Final

from together_operator.api.v1alpha1 import API_VERSION

Manifest = dict[str, Any]

ABSENT: Final = object()
"""Given to `changed` instead of a value, it removes the field."""

LONG_NAME: Final = "a" * 64

_LABEL_SELECTOR: Final = {
    "matchLabels": {"app": "archive"},
    "matchExpressions": [
        {"key": "app", "operator": "In", "values": ["archive"]},
        {"key": "app", "operator": "NotIn", "values": ["web"]},
        {"key": "app", "operator": "Exists"},
        {"key": "web", "operator": "DoesNotExist"},
    ],
}
_POD_TERM: Final = {
    "topologyKey": "kubernetes.io/hostname",
    "labelSelector": _LABEL_SELECTOR,
    "namespaces": ["models"],
    "namespaceSelector": _LABEL_SELECTOR,
}
_POD_AFFINITY: Final = {
    "requiredDuringSchedulingIgnoredDuringExecution": [_POD_TERM],
    "preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": _POD_TERM},
        {"weight": 100, "podAffinityTerm": _POD_TERM},
    ],
}
_NODE_REQUIREMENTS: Final = [
    {"key": "pool", "operator": "In", "values": ["batch"]},
    {"key": "pool", "operator": "NotIn", "values": ["gpu"]},
    {"key": "pool", "operator": "Exists"},
    {"key": "pool", "operator": "DoesNotExist"},
    {"key": "cores", "operator": "Gt", "values": ["4"]},
    {"key": "cores", "operator": "Lt", "values": ["64"]},
]
_NODE_TERM: Final = {"matchExpressions": _NODE_REQUIREMENTS, "matchFields": _NODE_REQUIREMENTS}
_JOB: Final = {
    "image": "registry.example.com/together-operator:1.0",
    "resources": {"requests": {"cpu": "500m", "memory": 512}, "limits": {"memory": "1Gi"}},
    "nodeSelector": {"pool": "batch"},
    "tolerations": [
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"},
        {"key": "a", "operator": "Exists", "effect": "PreferNoSchedule"},
        {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
    ],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_NODE_TERM]},
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": _NODE_TERM},
                {"weight": 100, "preference": _NODE_TERM},
            ],
        },
        "podAffinity": _POD_AFFINITY,
        "podAntiAffinity": _POD_AFFINITY,
    },
    "serviceAccountName": "archiver",
    "priorityClassName": "batch",
    "activeDeadlineSeconds": 3600,
    "stallSeconds": 600,
    "ttlSecondsAfterFinished": 0,
    "labels": {"team": "nlp"},
    "annotations": {"example.com/owner": "Natural Language"},
}

FROM_PREFIX: Final[Manifest] = {
    "apiVersion": API_VERSION,
    "kind": "CustomModel",
    "metadata": {"name": "model"},
    "spec": {
        "modelName": "support-llama",
        "type": "TextGeneration",
        "baseModel": "meta-llama/Llama-3.1-8B-Instruct",
        "source": {
            "s3": {
                "uri": "s3://models/support/v1/",
                "region": "eu-central-1",
                "endpointURL": "https://s3.example.com:9000",
                "credentialsSecretRef": {"name": "s3-source"},
            }
        },
        "archive": {
            "format": "zip",
            "destination": {
                "uri": "s3://models/archives/",
                "region": "eu-central-1",
                "endpointURL": "https://s3.example.com:9000",
                "credentialsSecretRef": {"name": "s3-archives"},
            },
            "retention": "Retain",
        },
        "job": _JOB,
        "apiKeySecretRef": {"name": "together", "key": "API_KEY"},
        "description": "Answers support requests",
        "visibility": "Internal",
        "deletionPolicy": "Retain",
        "adoptionPolicy": "Adopt",
        "suspend": True,
    },
}

FROM_HUGGING_FACE: Final[Manifest] = {
    "apiVersion": API_VERSION,
    "kind": "CustomModel",
    "metadata": {"name": "model"},
    "spec": {
        "source": {
            "huggingFace": {
                "repo": "sentence-transformers/all-MiniLM-L6-v2",
                "tokenSecretRef": {"name": "hugging-face", "key": "token"},
            }
        },
    },
}

_ARCHIVE: Final = {"destination": {"uri": "s3://models/archives/"}}

FROM_REVISION: Final[Manifest] = {
    "apiVersion": API_VERSION,
    "kind": "CustomModel",
    "metadata": {"name": "model"},
    "spec": {
        "source": {
            "huggingFace": {
                "repo": "sentence-transformers/all-MiniLM-L6-v2",
                "revision": "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
                "transfer": "Staged",
            }
        },
        "archive": _ARCHIVE,
    },
}

FROM_CLAIM: Final[Manifest] = {
    "apiVersion": API_VERSION,
    "kind": "CustomModel",
    "metadata": {"name": "model"},
    "spec": {
        "source": {"persistentVolumeClaim": {"claimName": "weights", "path": "support/v1"}},
        "archive": _ARCHIVE,
    },
}

FROM_ARCHIVE: Final[Manifest] = {
    "apiVersion": API_VERSION,
    "kind": "CustomModel",
    "metadata": {"name": "model"},
    "spec": {"source": {"s3": {"uri": "s3://models/support-v1.tar.gz"}}},
}

FROM_PRESIGNED_URL: Final[Manifest] = {
    "apiVersion": API_VERSION,
    "kind": "CustomModel",
    "metadata": {"name": "model"},
    "spec": {"source": {"presignedURL": {"secretKeyRef": {"name": "signed", "key": "url"}}}},
}

DEPLOYMENT: Final[Manifest] = {
    "apiVersion": API_VERSION,
    "kind": "ModelDeployment",
    "metadata": {"name": "deployment"},
    "spec": {
        "modelRef": {"name": "model"},
        "endpointName": "support",
        "hardware": {"gpu": "nvidia-h100-80gb", "count": 2},
        "optimization": "throughput",
        "placement": {"regions": ["us-central-4"], "constraint": "Required", "hipaa": True},
        "revisionPolicy": "Pinned",
        "revision": "rv_1",
        "rollout": {
            "strategy": "Canary",
            "paused": False,
            "canary": {
                "steps": [{"traffic": 10, "replicas": 1}, {"traffic": 100}],
                "intervalSeconds": 300,
                "gates": [
                    {"metric": "ErrorRate", "max": "0.01"},
                    {"metric": "Latency", "maxRegressionPercent": 20, "percentile": 99},
                ],
            },
        },
        "replicas": 2,
        "apiKeySecretRef": {"name": "together", "key": "API_KEY"},
        "deletionPolicy": "Retain",
        "adoptionPolicy": "Adopt",
        "suspend": True,
    },
}

DEPLOYMENT_BY_CONFIG: Final[Manifest] = {
    "apiVersion": API_VERSION,
    "kind": "ModelDeployment",
    "metadata": {"name": "deployment"},
    "spec": {"modelRef": {"name": "model"}, "config": "cr_CZaQ8Kx2"},
}

_CONDITION: Final = {
    "type": "Ready",
    "status": "True",
    "reason": "Imported",
    "message": "The model is ready.",
    "lastTransitionTime": "2026-01-02T03:04:05Z",
    "observedGeneration": 1,
}
_BOOKKEEPING: Final = {
    "observedGeneration": 1,
    "phase": "Ready",
    "conditions": [_CONDITION],
    "intent": {
        "kind": "Model",
        "name": "model",
        "attempt": 1,
        "since": "2026-01-02T03:04:05Z",
        "holder": "operator-1",
    },
    "retry": {"failures": 0, "nextAttemptTime": "2026-01-02T03:04:05Z"},
    "model": {"id": "ml_1", "name": "acme/model", "revision": "rv_1"},
}

CUSTOM_MODEL_STATUS: Final[Manifest] = _BOOKKEEPING | {
    "source": {
        "text": "s3://models/support/v1/",
        "digest": "0123456789abcdef",
        "revision": "abc",
        "files": 12,
        "sizeBytes": 16000000000,
        "size": "14.9GiB",
    },
    "archive": {
        "uri": "s3://a/b.zip",
        "format": "zip",
        "sizeBytes": 1,
        "digest": "sha256:0",
        "files": 3,
        "deleted": False,
        "problem": "AccessDenied",
    },
    "job": {"name": "model-archive-1", "attempt": 1, "seenAt": "2026-01-02T03:04:05Z"},
    "progress": {
        "stage": "Archiving",
        "doneBytes": 63,
        "totalBytes": 100,
        "percent": 63,
        "bytesPerSecond": 1288490188,
        "etaSeconds": 240,
        "text": "63% 1.2GiB/s 4m",
        "movedAt": "2026-01-02T03:04:05Z",
    },
    "import": {
        "jobID": "job_1",
        "attempt": 1,
        "state": "RUNNING",
        "message": "",
        "sourceDigest": "0123456789abcdef",
        "startedAt": "2026-01-02T03:04:05Z",
    },
}

DEPLOYMENT_STATUS: Final[Manifest] = _BOOKKEEPING | {
    "endpoint": {"id": "ep_1", "name": "acme/support"},
    "deployment": {
        "id": "dep_1",
        "name": "support-1",
        "state": "READY",
        "config": "cr_1",
        "hardware": "2xnvidia-h100-80gb",
        "model": "ml_1",
        "revision": "rv_1",
        "message": "",
        "request": "0123456789",
    },
    "previous": {"id": "dep_0", "name": "support-0", "state": "STOPPING"},
    "rollout": {
        "phase": "Running",
        "strategy": "Canary",
        "digest": "0123456789",
        "target": {"id": "dep_2", "name": "support-2", "state": "SCALING"},
        "model": {"id": "ml_1", "name": "acme/model", "revision": "rv_2"},
        "source": {
            "model": "projects/proj_1/models/ml_1/revisions/rv_1",
            "modelName": "acme/model",
            "config": "projects/proj_platform/configs/cr_1",
            "hardware": "1xnvidia-h100-80gb",
            "request": "0123456789",
        },
        "id": "rol_1",
        "state": "RUNNING",
        "step": 1,
        "steps": 4,
        "trafficPercent": 5,
        "message": "",
        "startedAt": "2026-01-02T03:04:05Z",
    },
    "startup": [{"phase": "PullingImage", "time": "2026-01-02T03:04:05Z"}],
    "replicas": 2,
    "readyReplicas": 1,
    "replicasText": "1/2",
    "selector": "together.ai/deployment=deployment",
    "cost": {"perReplicaHour": "3.36", "perHour": "6.72", "reservedPerHour": "6.72"},
    "scaling": {
        "minReplicas": 2,
        "maxReplicas": 2,
        "digest": "0123456789",
        "routed": "dep_1",
        "drift": "",
    },
    "nextChange": {"time": "2026-01-02T03:04:05Z", "action": "Stop"},
    "connection": {"configMapName": "support-endpoint"},
}

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def changed(manifest: Manifest, changes: dict[str, Any]) -> Manifest:
    """A copy with the values at paths such as `spec.job.tolerations[0].effect` set or removed."""
    result = copy.deepcopy(manifest)
    for path, value in changes.items():
        *above, last = [name or int(index) for name, index in _STEP.findall(path)]
        node: Any = result
        for step in above:
            node = node[step] if isinstance(step, int) else node.setdefault(step, {})
        if value is ABSENT:
            del node[last]
        else:
            node[last] = value
    return result
