"""A container's environment and command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.cluster.process_node.api import Object
    from tests.support.cluster.process_node.paths import PathMap
    from tests.support.cluster.process_node.references import References

VARIABLE_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


async def container_environment(
    container: Object, base: Mapping[str, str], references: References, paths: PathMap
) -> dict[str, str]:
    """Return ``base`` with the container's ``envFrom`` and ``env``, in the kubelet's order.

    :raises ReferenceMissingError: when something that isn't optional isn't there.
    """
    environment = dict(base)
    for source in container.get("envFrom", []):
        environment |= await _from_source(source, references)
    for variable in container.get("env", []):
        value = await _value(variable, container, environment, references, paths)
        if value is not None:
            environment[variable["name"]] = value
    return environment


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; an unknown name stays as it is, and ``$$`` is a dollar sign."""

    def replacement(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        return variables.get(match.group(1), match.group())

    return re.sub(r"\$\$|\$\(([^()]*)\)", replacement, text)


def command_line(
    container: Object,
    entrypoint: Iterable[str],
    environment: Mapping[str, str],
    paths: PathMap,
) -> list[str]:
    """Return the words to execute; ``entrypoint`` stands for the image's."""
    words = [*container.get("command", entrypoint), *container.get("args", [])]
    return [expand(paths.translate(word), environment) for word in words]


async def _from_source(source: Object, references: References) -> dict[str, str]:
    if "secretRef" in source:
        reference = source["secretRef"]
        lookup = references.secret
    else:
        reference = source["configMapRef"]
        lookup = references.config_map
    data = await lookup(reference["name"], optional=reference.get("optional", False))
    prefix = source.get("prefix", "")
    return {
        prefix + key: value.decode()
        for key, value in data.items()
        if VARIABLE_NAME.fullmatch(prefix + key)
    }


async def _value(
    variable: Object,
    container: Object,
    environment: Mapping[str, str],
    references: References,
    paths: PathMap,
) -> str | None:
    source = variable.get("valueFrom")
    if source is None:
        return expand(paths.translate(variable.get("value", "")), environment)
    if "fieldRef" in source:
        return references.field(source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return references.resource(source["resourceFieldRef"], container)
    if "secretKeyRef" in source:
        found = await references.secret_key(source["secretKeyRef"])
    else:
        found = await references.config_map_key(source["configMapKeyRef"])
    return None if found is None else found.decode()
