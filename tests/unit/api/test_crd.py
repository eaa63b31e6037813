"""The generator of the CRDs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
import yaml
from click.testing import CliRunner
from pydantic import BaseModel, Field

from together_operator.api.crd import NotStructural, crd, main, structural_schema
from together_operator.api.schema import CEL
from together_operator.api.v1alpha1 import KINDS, CustomModel, ModelDeployment, Resource
from together_operator.domain.custom_model import status as model
from together_operator.domain.deployment import status as deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[3]
NAMES = ("together.ai_custommodels.yaml", "together.ai_modeldeployments.yaml")

KEYWORDS = {
    "description",
    "type",
    "enum",
    "default",
    "required",
    "properties",
    "items",
    "additionalProperties",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-validations",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}
"""What a structural schema may say, as far as we use it: no $ref, anyOf, nullable or title."""


class Item(BaseModel):
    """An item."""

    size: int | None = Field(default=None, ge=1, description="Size in bytes.")


class Described(BaseModel):
    """A model that
    can be said."""

    name: Annotated[str, Field(max_length=9), CEL("self != ''", "name it")] = Field(
        description="A name."
    )
    item: Annotated[Item | None, CEL("self.size > 1", "make it bigger")] = Field(
        default=None, description="The only item."
    )
    items: tuple[Item, ...] = Field(default=(), max_length=3, description="More items.")
    labels: dict[str, Item] = Field(
        default_factory=dict, max_length=3, description="Items by name."
    )
    level: int = Field(default=3, description="A level.")


def test_a_model_becomes_a_structural_schema() -> None:
    item = {
        "description": "An item.",
        "type": "object",
        "properties": {"size": {"description": "Size in bytes.", "type": "integer", "minimum": 1}},
    }

    assert structural_schema(Described) == {
        "description": "A model that can be said.",
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {
                "description": "A name.",
                "type": "string",
                "maxLength": 9,
                "x-kubernetes-validations": [{"rule": "self != ''", "message": "name it"}],
            },
            "item": item
            | {
                "description": "The only item.",
                "x-kubernetes-validations": [
                    {"rule": "self.size > 1", "message": "make it bigger"}
                ],
            },
            "items": {
                "description": "More items.",
                "type": "array",
                "items": item,
                "maxItems": 3,
            },
            "labels": {
                "description": "Items by name.",
                "type": "object",
                "additionalProperties": item,
                "maxProperties": 3,
            },
            "level": {"description": "A level.", "type": "integer", "default": 3},
        },
    }


class Union(BaseModel):
    """One field, two types."""

    field: int | str = Field(description="Either.")


class Undescribed(BaseModel):
    """A field that says nothing."""

    field: int


class Tree(BaseModel):
    """Contains itself."""

    children: tuple[Tree, ...] = Field(default=(), description="More of it.")


class Forest(BaseModel):
    """Contains something that contains itself."""

    tree: Tree = Field(description="The first.")


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (Union, r"^Union\.field: a union of types; give each alternative its own field"),
        (Undescribed, r"^Undescribed\.field: no description"),
        (Tree, r"^Tree\.children\[\]: Tree contains itself"),
        (Forest, r"^Forest\.tree\.children\[\]: Tree contains itself"),
    ],
)
def test_what_kubernetes_could_not_take_is_an_error(model: type[BaseModel], problem: str) -> None:
    with pytest.raises(NotStructural, match=problem):
        structural_schema(model)


@pytest.mark.parametrize("kind", KINDS)
def test_a_crd_is_structural_throughout(kind: type[Resource]) -> None:
    for path, node in _nodes(_schema(kind)):
        assert node.keys() <= KEYWORDS, path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert set(node.get("required", ())) <= node.get("properties", {}).keys(), path
        assert _has_no_null(node), path


@pytest.mark.parametrize("kind", KINDS)
def test_what_users_write_is_bounded(kind: type[Resource]) -> None:
    """CEL's cost estimate needs it, and so does the size of objects in etcd."""
    bounds = {"string": "maxLength", "array": "maxItems"}
    for path, node in _nodes(_schema(kind)["properties"]["spec"]):
        bound = bounds.get(node.get("type", ""))
        assert bound is None or bound in node or "enum" in node, path
        assert "additionalProperties" not in node or "maxProperties" in node, path


@pytest.mark.parametrize("kind", KINDS)
def test_rules_say_what_to_do(kind: type[Resource]) -> None:
    messages = [
        rule["message"]
        for _, node in _nodes(_schema(kind))
        for rule in node.get("x-kubernetes-validations", ())
    ]

    assert messages
    assert all(":" in message or ", " in message for message in messages)
    assert all(len(message) < 300 and "\n" not in message for message in messages)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unseen_object_is_in_progress_for_kstatus(kind: type[Resource]) -> None:
    assert _schema(kind)["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_names_of_the_kinds() -> None:
    assert [crd(kind)["metadata"]["name"] for kind in KINDS] == [
        "custommodels.together.ai",
        "modeldeployments.together.ai",
    ]
    assert crd(CustomModel)["spec"]["names"] == {
        "kind": "CustomModel",
        "listKind": "CustomModelList",
        "plural": "custommodels",
        "singular": "custommodel",
        "shortNames": ["cmodel"],
        "categories": ["together"],
    }


def test_only_deployments_scale() -> None:
    assert _version(CustomModel)["subresources"] == {"status": {}}
    assert _version(ModelDeployment)["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }


@pytest.mark.parametrize("kind", KINDS)
def test_columns_point_to_fields(kind: type[Resource]) -> None:
    fields = {path for path, _ in _nodes(_schema(kind))} | {".metadata.creationTimestamp"}
    for column in _version(kind)["additionalPrinterColumns"]:
        for path in _alternatives(column["jsonPath"]):
            assert path.replace('[?(@.type=="Ready")]', "[]") in fields


def _alternatives(path: str) -> list[str]:
    """The paths of a union such as `.spec['modelRef.name','model']`; one path is its own."""
    above, _, union = path.partition("['")
    return (
        [f"{above}.{name}" for name in union.removesuffix("']").split("','")] if union else [path]
    )


def test_the_files_in_the_repository_are_up_to_date() -> None:
    result = CliRunner().invoke(main, ["--check", str(REPOSITORY / "crds")])

    assert result.output == ""
    assert result.exit_code == 0


def test_writing_makes_the_check_pass_and_removes_old_files(tmp_path: Path) -> None:
    (tmp_path / "together.ai_old.yaml").write_text("kind: Old\n")

    assert CliRunner().invoke(main, [str(tmp_path)]).exit_code == 0

    assert sorted(path.name for path in tmp_path.iterdir()) == list(NAMES)
    assert CliRunner().invoke(main, ["--check", str(tmp_path)]).exit_code == 0
    for path in tmp_path.iterdir():
        text = path.read_text()
        assert text.startswith("# Generated by `make crds`")
        assert "&id" not in text
        assert yaml.safe_load(text)["apiVersion"] == "apiextensions.k8s.io/v1"


@pytest.mark.parametrize("change", ["edited", "missing", "superfluous"])
def test_a_difference_fails_the_check_by_name(tmp_path: Path, change: str) -> None:
    CliRunner().invoke(main, [str(tmp_path)])
    name = "together.ai_old.yaml" if change == "superfluous" else NAMES[0]
    if change == "missing":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text("kind: Edited\n")
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}

    result = CliRunner().invoke(main, ["--check", str(tmp_path)])

    assert result.exit_code == 1
    assert result.output.endswith(f"out of date, run `make crds`: {name}\n")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def _version(kind: type[Resource]) -> dict[str, Any]:
    version: dict[str, Any] = crd(kind)["spec"]["versions"][0]
    return version


def _schema(kind: type[Resource]) -> dict[str, Any]:
    schema: dict[str, Any] = _version(kind)["schema"]["openAPIV3Schema"]
    return schema


def _nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from _nodes(below, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from _nodes(schema[keyword], f"{path}[]")


def _has_no_null(value: object) -> bool:
    if isinstance(value, dict):
        return all(_has_no_null(below) for below in value.values())
    if isinstance(value, list):
        return all(_has_no_null(below) for below in value)
    return value is not None and value != "null"


@pytest.mark.parametrize(
    ("kind", "stages"),
    [
        (CustomModel, (model.SOURCE, model.ARCHIVE, model.REGISTER, model.IMPORT)),
        (
            ModelDeployment,
            (
                *(deployment.MODEL, deployment.AFFORD, deployment.SCHEDULE, deployment.DEPLOY),
                *(deployment.ROUTE, deployment.ROLL, deployment.PUBLISH),
            ),
        ),
    ],
)
def test_conditions_are_described_by_their_names(
    kind: type[Resource], stages: tuple[str, ...]
) -> None:
    [version] = crd(kind)["spec"]["versions"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    described = status["properties"]["conditions"]["description"]

    assert {"Ready", "Reconciling", "Stalled", *stages} <= set(re.findall(r"\w+", described))
