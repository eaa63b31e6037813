"""The commands as scripts use them: options, streams, exit codes."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.simulators.tiny_models import write_model
from together_operator.archive.errors import TemporaryFailure
from together_operator.archive.s3 import translate
from together_operator.archive_cli import Settings, execute


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_model(tmp_path_factory.mktemp("tiny") / "model", architecture="Qwen2ForCausalLM")
    (root / ".cache").mkdir()
    (root / ".cache" / "x").write_text("junk")
    return root


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "together_operator", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )


def test_json_progress_ends_with_the_result(model: Path, tmp_path: Path) -> None:
    message = tmp_path / "message"
    done = run(
        "archive", str(model), str(tmp_path / "a.zip"), "--progress", "json",
        TERMINATION_MESSAGE_PATH=str(message),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    *progress, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert progress
    for line in progress:
        assert list(line) == [
            "type", "stage", "doneBytes", "totalBytes", "bytesPerSecond", "etaSeconds",
        ]  # fmt: skip
        assert line["type"] == "progress"
    assert last["type"] == "result"
    assert list(last)[1:11] == [
        "uri", "format", "sizeBytes", "digest", "files", "sourceRevision", "sentBytes",
        "copiedBytes", "seconds", "resumed",
    ]  # fmt: skip
    assert last["sizeBytes"] == (tmp_path / "a.zip").stat().st_size
    assert last["excluded"] == [{"name": ".cache/", "reason": "junk"}]
    left = json.loads(message.read_text())
    assert left == {key: value for key, value in last.items() if key not in ("type", "excluded")}


def test_a_person_reads_a_summary_on_stderr(model: Path, tmp_path: Path) -> None:
    done = run("archive", str(model), str(tmp_path / "a.tar.gz"))
    assert done.returncode == 0
    assert done.stdout == ""
    assert "files" in done.stderr
    assert "left out .cache/ (junk)" in done.stderr


def test_a_bar_is_drawn_when_asked_for(model: Path, tmp_path: Path) -> None:
    done = run("archive", str(model), str(tmp_path / "a.tar"), "--progress", "bar")
    assert done.returncode == 0
    assert done.stdout == ""


def test_a_dry_run_prints_the_plan_and_writes_nothing(model: Path, tmp_path: Path) -> None:
    done = run("archive", str(model), str(tmp_path / "a.zip"), "--dry-run")
    assert done.returncode == 0
    assert "config.json" in done.stdout
    assert "left out  .cache/  (junk)" in done.stdout
    assert "bytes of zip, plan sha256:" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("SOURCE",), 64, "Missing argument"),
        (("SOURCE", "OUT.zip", "--format", "7z"), 64, "Invalid value for '--format'"),
        (("SOURCE", "OUT.zip", "--format", "tar"), 64, "contradicts"),
        (("SOURCE", "OUT"), 64, "ends with none of .zip, .tar, .tar.gz"),
        (("gs://bucket/x/", "OUT.zip"), 64, "gs:// is not supported"),
        (("hf://nonsense", "OUT.zip"), 64, "is not hf://ORG/REPO"),
        (("s3://bucket/object", "OUT.zip"), 64, "end it with '/'"),
        (("s3:///x/", "OUT.zip"), 64, "is not s3://BUCKET"),
        (("SOURCE", "SOURCE/new/x.zip"), 64, "name a file outside it"),
        (("SOURCE/nothing", "OUT.zip"), 65, "does not exist"),
        (("SOURCE/config.json", "OUT.zip"), 65, "is not a directory"),
        (("EMPTY", "OUT.zip"), 65, "no file to archive"),
        (("SOURCE", "/nonexistent/dir/x.zip"), 73, "No such file or directory"),
        (("SOURCE", "DIRECTORY.zip"), 73, "is a directory"),
        (("s3://bucket/x/", "OUT.zip"), 77, "no credentials"),
        (("s3://bucket/x/", "OUT.zip", "KEYS"), 75, "check the endpoint"),
        (("SOURCE", "s3://bucket/x.zip"), 77, "no credentials"),
        (("SOURCE", "s3://bucket/x.zip", "KEYS", "--endpoint-url", "x"), 64, "endpoint is no URL"),
        (("SOURCE", "s3://bucket/x.zip", "KEYS", "--endpoint-url", "ftp://x"), 64, "is no URL"),
        (("SOURCE", "s3://bucket/x.zip", "KEYS", "--region", "a b"), 64, "region is no name"),
        (("SOURCE", "s3://bucket/x.zip", "KEYS"), 75, "check the endpoint"),
    ],
)
def test_each_mistake_has_its_exit_code_and_one_line(
    model: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "directory.zip").mkdir()
    environ = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "1",
        "HOME": str(tmp_path),
    }
    if "KEYS" in arguments:
        environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    places = {
        "SOURCE": str(model),
        "OUT": str(tmp_path / "out"),
        "EMPTY": str(tmp_path / "empty"),
        "DIRECTORY": str(tmp_path / "directory"),
    }
    given = [
        next(
            (place + text.removeprefix(w) for w, place in places.items() if text.startswith(w)),
            text,
        )
        for text in arguments
    ]
    message = tmp_path / "message"
    done = run(
        "archive",
        *[g for g in given if g != "KEYS"],
        TERMINATION_MESSAGE_PATH=str(message),
        **environ,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    if message.exists():
        assert json.loads(message.read_text())["exitCode"] == code
        assert done.stderr.count("\n") == 1


def test_what_nobody_foresaw_is_one_line_without_what_it_says(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("https://store/x?X-Amz-Signature=secret")

    monkeypatch.setattr("together_operator.archive_cli.open_source", fail)
    message = tmp_path / "message"
    settings = Settings(
        str(model), str(tmp_path / "a.zip"), None, None, None, None, None, None, "none",
        dry_run=False, include=(), check=True,
    )  # fmt: skip
    assert execute(settings, {"TERMINATION_MESSAGE_PATH": str(message)}) == 70
    said = capsys.readouterr().err
    assert said.startswith("error: unforeseen KeyError at archive_cli.py:")
    assert said.count("\n") == 1
    left = json.loads(message.read_text())
    assert left["exitCode"] == 70
    assert f"error: {left['error']}\n" == said
    assert "secret" not in said
    assert "http" not in said


def test_nobody_who_reads_is_no_mistake(model: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "together_operator",
            "archive",
            str(model),
            str(tmp_path / "a.zip"),
            "--progress",
            "json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert "unforeseen" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_store_is_temporary_also_where_it_has_no_words(status: int) -> None:
    answer = {
        "Error": {"Code": str(status), "Message": ""},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error = ClientError(answer, "HeadObject")  # type: ignore[arg-type]
    assert isinstance(translate(error, "looking for it", source=False), TemporaryFailure)


@pytest.mark.parametrize("code", ["ThrottlingException", "RequestLimitExceeded", "BadDigest"])
@pytest.mark.parametrize("source", [False, True])
def test_what_another_try_can_mend_is_temporary_whatever_the_status(
    code: str, source: bool
) -> None:
    answer = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    error = ClientError(answer, "UploadPart")  # type: ignore[arg-type]
    assert isinstance(translate(error, "sending it", source=source), TemporaryFailure)


def test_a_model_that_together_would_refuse_is_refused_before_anything_is_written(
    model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model.iterdir():
        if file.is_file():
            (broken / file.name).write_bytes(file.read_bytes())
    weights = next(broken.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    done = run("archive", str(broken), str(tmp_path / "a.zip"))
    assert done.returncode == 65
    assert "lacks 1 of the bytes that its header promises" in done.stderr
    assert not (tmp_path / "a.zip").exists()
    assert run("archive", str(broken), str(tmp_path / "a.zip"), "--no-check").returncode == 0


def test_check_says_what_is_wrong_and_how_to_mend_it(model: Path, tmp_path: Path) -> None:
    good = run("check", str(model))
    assert (good.returncode, good.stdout) == (0, "acceptable: nothing found\n")
    with zipfile.ZipFile(tmp_path / "wrapped.zip", "w") as archive:
        archive.write(model / "config.json", "model/config.json")
    bad = run("check", str(tmp_path / "wrapped.zip"))
    assert bad.returncode == 65
    assert "pack the directory's content, not the directory [structure/wrapped]" in bad.stdout
    document = json.loads(run("check", str(tmp_path / "wrapped.zip"), "--output", "json").stdout)
    assert document["acceptable"] is False
    assert set(document["findings"][0]) == {"rule", "severity", "problem", "remedy"}
    nothing = run("check", str(tmp_path / "nothing"))
    assert (nothing.returncode, "does not exist" in nothing.stdout) == (65, True)


def test_the_worker_imports_neither_kopf_nor_kubernetes_nor_what_it_does_not_need() -> None:
    code = (
        "import sys; from together_operator.cli import cli\n"
        "try: cli(['archive', '/nonexistent', '/tmp/x.zip'])\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in ('kopf', 'kubernetes', 'httpx', 'boto3', 'huggingface_hub', "
        "'pydantic', 'rich') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
