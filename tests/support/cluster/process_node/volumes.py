"""A pod's volumes, as folders of this machine.

A volume is written once, when the pod starts: a Secret that changes later doesn't reach a running
pod, ``readOnly`` and ``sizeLimit`` aren't enforced.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.cluster.process_node.api import APIError
from tests.support.cluster.process_node.references import ReferenceMissingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.cluster.process_node.api import KubeAPI, Object
    from tests.support.cluster.process_node.references import References

DEFAULT_MODE = 0o644


class Volumes:
    """Makes the volumes of one pod in ``folder``."""

    def __init__(self, api: KubeAPI, pod: Object, references: References, folder: Path) -> None:
        self._api = api
        self._pod = pod
        self._references = references
        self._folder = folder
        self._kinds: dict[str, Callable[[Object, Path], Awaitable[Path]]] = {
            "emptyDir": self._empty_dir,
            "secret": self._secret,
            "configMap": self._config_map,
            "downwardAPI": self._downward_api,
            "projected": self._projected,
            "hostPath": self._host_path,
            "persistentVolumeClaim": self._claim,
        }

    async def make(self) -> dict[str, Path]:
        """Return the folder (or, for some hostPaths, the file) of every volume by its name.

        :raises ReferenceMissingError: when something that a volume is made from isn't there.
        """
        made = {}
        for volume in self._pod["spec"].get("volumes", []):
            kind = next(key for key in volume if key != "name")
            made[volume["name"]] = await self._kinds[kind](
                volume[kind], self._folder / volume["name"]
            )
        return made

    async def _empty_dir(self, _source: Object, folder: Path) -> Path:
        return _write(folder, {}, DEFAULT_MODE)

    async def _secret(self, source: Object, folder: Path) -> Path:
        data = await self._references.secret(
            source["secretName"], optional=source.get("optional", False)
        )
        return _write(folder, _chosen(data, source), source.get("defaultMode", DEFAULT_MODE))

    async def _config_map(self, source: Object, folder: Path) -> Path:
        data = await self._references.config_map(
            source["name"], optional=source.get("optional", False)
        )
        return _write(folder, _chosen(data, source), source.get("defaultMode", DEFAULT_MODE))

    async def _downward_api(self, source: Object, folder: Path) -> Path:
        return _write(folder, self._fields(source), source.get("defaultMode", DEFAULT_MODE))

    def _fields(self, source: Object) -> dict[str, bytes]:
        return {
            item["path"]: self._references.field(item["fieldRef"]["fieldPath"]).encode()
            for item in source.get("items", [])
        }

    async def _projected(self, source: Object, folder: Path) -> Path:
        mode = source.get("defaultMode", DEFAULT_MODE)
        _write(folder, {}, mode)
        for part in source.get("sources", []):
            _write(folder, await self._projection(part), mode)
        return folder

    async def _projection(self, part: Object) -> dict[str, bytes]:
        if "serviceAccountToken" in part:
            source = part["serviceAccountToken"]
            return {source["path"]: await self._token(source)}
        if "downwardAPI" in part:
            return self._fields(part["downwardAPI"])
        kind = "secret" if "secret" in part else "configMap"
        source = part[kind]
        lookup = self._references.secret if kind == "secret" else self._references.config_map
        data = await lookup(source["name"], optional=source.get("optional", False))
        return _chosen(data, source)

    async def _token(self, source: Object) -> bytes:
        metadata = self._pod["metadata"]
        account = self._pod["spec"].get("serviceAccountName", "default")
        path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token"
        request: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": source.get("expirationSeconds", 3600),
                "audiences": [source["audience"]] if "audience" in source else None,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        }
        answer = await self._api.create(path, request)
        return str(answer["status"]["token"]).encode()

    async def _host_path(self, source: Object, _folder: Path) -> Path:
        return _on_host(Path(source["path"]), source.get("type", ""))

    async def _claim(self, source: Object, _folder: Path) -> Path:
        namespace, name = self._pod["metadata"]["namespace"], source["claimName"]
        claim = await self._get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
        volume = await self._get(f"/api/v1/persistentvolumes/{claim['spec'].get('volumeName')}")
        for kind in ("hostPath", "local"):
            if kind in volume["spec"]:
                source = volume["spec"][kind]
                return _on_host(Path(source["path"]), source.get("type", ""))
        raise ReferenceMissingError(
            f"volume {volume['metadata']['name']} of claim {name} is neither hostPath nor local"
        )

    async def _get(self, path: str) -> Object:
        try:
            return await self._api.get(path)
        except APIError as error:
            raise ReferenceMissingError(error.message) from error


def _chosen(data: dict[str, bytes], source: Object) -> dict[str, bytes]:
    """Apply ``items``: keys to paths; all keys under their own names when there are none."""
    items = source.get("items")
    if not items or (not data and source.get("optional", False)):
        return data
    missing = [item["key"] for item in items if item["key"] not in data]
    if missing:
        raise ReferenceMissingError(f"references non-existent secret or config key: {missing[0]}")
    return {item["path"]: data[item["key"]] for item in items}


def _on_host(path: Path, kind: str) -> Path:
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    suitable = {"Directory": path.is_dir, "File": path.is_file}.get(kind, path.exists)
    if not suitable():
        raise ReferenceMissingError(f"hostPath type check failed: {path} is not a {kind or 'path'}")
    return path


def _write(folder: Path, files: dict[str, bytes], mode: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    return folder
