"""What goes in, what stays out, and which names are refused."""

import pytest

from together_operator.archive.errors import SourceUnacceptable
from together_operator.archive.selection import select
from together_operator.archive.sources import Entry


def chosen(*names: str, include: tuple[str, ...] = ()) -> list[str]:
    entries = [Entry(name, 0 if name.endswith("/") else 1, "") for name in names]
    return [entry.name for entry in select(entries, include).kept]


def test_junk_is_left_out_and_named() -> None:
    junk = [".git/config", ".cache/x", "a/.cache/y", "x.lock", ".DS_Store", "w.incomplete"]
    selection = select([Entry(name, 1, "") for name in [*junk, "config.json"]])
    assert [entry.name for entry in selection.kept] == ["config.json"]
    assert sorted(item.name for item in selection.excluded) == sorted(junk)
    assert {item.reason for item in selection.excluded} == {"junk"}


def test_other_formats_of_the_weights_stay_out_where_safetensors_are() -> None:
    assert chosen(
        "model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "m.gguf",
        "onnx/model.onnx", "original/consolidated.00.pth", "consolidated.safetensors",
        "tokenizer.json",
    ) == ["model.safetensors", "tokenizer.json"]  # fmt: skip


def test_a_directory_without_safetensors_keeps_its_weights() -> None:
    assert chosen("model.safetensors", "2_Dense/pytorch_model.bin") == [
        "2_Dense/pytorch_model.bin",
        "model.safetensors",
    ]
    assert chosen("pytorch_model.bin", "config.json") == ["config.json", "pytorch_model.bin"]


def test_a_pattern_keeps_what_would_be_left_out() -> None:
    assert chosen("model.safetensors", "m.gguf", include=("*.gguf",)) == [
        "m.gguf",
        "model.safetensors",
    ]


def test_directory_markers_stay_out_unless_they_hide_content() -> None:
    assert chosen("sub/", "config.json") == ["config.json"]
    with pytest.raises(SourceUnacceptable, match="ends with '/' but has content"):
        select([Entry("sub/", 5, "")])


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("/etc/passwd", "absolute path"),
        ("../x", "climbs out"),
        ("a/../../x", "climbs out"),
        ("a//b", "empty or '.'"),
        ("./a", "empty or '.'"),
        ("a\nb", "control character"),
        ("a\x00b", "control character"),
        ("a\x9bb", "control character"),
        ("a\\..\\b", "Windows path"),
        ("C:x", "Windows path"),
        ("n" * 256, "longer than a file system takes"),
        ("\udcff", "not valid UTF-8"),
    ],
)
def test_a_dangerous_name_is_refused_in_one_line_that_says_which(name: str, problem: str) -> None:
    with pytest.raises(SourceUnacceptable) as caught:
        select([Entry(name, 1, "")])
    assert problem in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_that_is_also_a_directory_is_refused() -> None:
    with pytest.raises(SourceUnacceptable, match="both a file and the directory"):
        chosen("a", "a/b")


def test_nothing_left_is_refused() -> None:
    with pytest.raises(SourceUnacceptable, match="no file to archive"):
        chosen(".git/config")
