"""The simulated hub, driven by the real `huggingface_hub` client."""

import hashlib
from pathlib import Path

import httpx
import pytest
from huggingface_hub import (
    HfApi,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder

from tests.support.simulators.hub import MINILM, TOKEN, HubSimulator, minilm_directory
from tests.support.simulators.together import Fault

WEIGHTS = "model.safetensors"


@pytest.fixture
def api(hub_sim: HubSimulator) -> HfApi:
    return HfApi(endpoint=hub_sim.url, token=False)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    (directory / "sub" / "deep").mkdir(parents=True)
    (directory / "sub" / "deep" / "x.txt").write_text("deep")
    (directory / "a b#1.txt").write_text("odd")
    (directory / WEIGHTS).write_bytes(b"\1" * 1000)
    return directory


def test_model_info_names_commit_sizes_and_lfs_digests(api: HfApi) -> None:
    info = api.model_info(MINILM, files_metadata=True)
    siblings = {s.rfilename: s for s in info.siblings or []}
    assert info.sha is not None
    assert len(info.sha) == 40
    assert siblings["config.json"].size == 612
    assert siblings["config.json"].lfs is None
    lfs = siblings[WEIGHTS].lfs
    assert lfs is not None
    content = (minilm_directory() / WEIGHTS).read_bytes()
    assert lfs.sha256 == hashlib.sha256(content).hexdigest()


def test_card_data_is_read_from_the_readme(api: HfApi) -> None:
    card = api.model_info(MINILM).card_data
    assert card is not None
    assert card.license == "apache-2.0"


def test_tree_lists_files_and_folders(hub_sim: HubSimulator, api: HfApi, files: Path) -> None:
    hub_sim.add_repository("acme/tree", files)
    top = list(api.list_repo_tree("acme/tree"))
    assert [e.path for e in top if isinstance(e, RepoFolder)] == ["sub"]
    everything = list(api.list_repo_tree("acme/tree", recursive=True))
    assert [e.path for e in everything if isinstance(e, RepoFile)] == [
        "a b#1.txt",
        WEIGHTS,
        "sub/deep/x.txt",
    ]
    below = list(api.list_repo_tree("acme/tree", "sub/deep"))
    assert [e.path for e in below] == ["sub/deep/x.txt"]


def test_tree_is_paged(hub_sim: HubSimulator, api: HfApi, tmp_path: Path) -> None:
    for number in range(1234):
        (tmp_path / f"{number:04}.txt").write_text("")
    hub_sim.add_repository("acme/many", tmp_path)
    paths = [entry.path for entry in api.list_repo_tree("acme/many", recursive=True)]
    assert paths == [f"{number:04}.txt" for number in range(1234)]


def test_paths_info_tells_of_the_files_asked_for(api: HfApi) -> None:
    found = api.get_paths_info(MINILM, ["config.json", "missing.json"])
    assert [entry.path for entry in found] == ["config.json"]


def test_download_gives_the_content(hub_sim: HubSimulator, tmp_path: Path) -> None:
    local = hf_hub_download(MINILM, WEIGHTS, endpoint=hub_sim.url, cache_dir=tmp_path)
    assert Path(local).read_bytes() == (minilm_directory() / WEIGHTS).read_bytes()


def test_snapshot_brings_every_file(hub_sim: HubSimulator, files: Path, tmp_path: Path) -> None:
    hub_sim.add_repository("acme/snapshot", files)
    cache = tmp_path / "cache"
    local = Path(snapshot_download("acme/snapshot", endpoint=hub_sim.url, cache_dir=cache))
    found = {p.relative_to(local).as_posix(): p.read_bytes() for p in local.rglob("*.*")}
    assert found == {
        "a b#1.txt": b"odd",
        WEIGHTS: b"\1" * 1000,
        "sub/deep/x.txt": b"deep",
    }


def test_metadata_of_an_lfs_file_names_the_content_host(hub_sim: HubSimulator) -> None:
    url = hf_hub_url(MINILM, WEIGHTS, endpoint=hub_sim.url)
    metadata = get_hf_file_metadata(url)
    assert metadata.size == 90868376
    assert metadata.etag == hashlib.sha256((minilm_directory() / WEIGHTS).read_bytes()).hexdigest()
    assert metadata.commit_hash == HfApi(endpoint=hub_sim.url).model_info(MINILM).sha
    assert httpx.URL(metadata.location).host != httpx.URL(hub_sim.url).host


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_ranges_are_served(hub_sim: HubSimulator, name: str) -> None:
    url = hf_hub_url(MINILM, name, endpoint=hub_sim.url)
    answer = httpx.get(url, headers={"Range": "bytes=8-15"}, follow_redirects=True)
    assert answer.status_code == 206
    assert answer.content == (minilm_directory() / name).read_bytes()[8:16]


def test_a_commit_id_stays_readable_after_the_branch_moved(
    hub_sim: HubSimulator, api: HfApi, files: Path, tmp_path: Path
) -> None:
    repository = hub_sim.add_repository("acme/moving", files)
    first = api.model_info("acme/moving").sha
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "x.txt").write_text("new")
    repository.commit("main", newer)
    assert api.model_info("acme/moving").sha != first
    pinned = api.model_info("acme/moving", revision=first)
    assert len(pinned.siblings or []) == 3


@pytest.mark.parametrize("token", [False, "hf_other"])
def test_a_private_repository_looks_missing_without_access(
    hub_sim: HubSimulator, files: Path, token: str | bool
) -> None:
    hub_sim.add_token("hf_other")
    hub_sim.add_repository("acme/private", files, private=True)
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=hub_sim.url, token=token).model_info("acme/private")
    assert HfApi(endpoint=hub_sim.url, token=TOKEN).model_info("acme/private").private


@pytest.mark.parametrize("token", [False, "hf_other"])
def test_a_gated_repository_shows_its_files_but_not_their_content(
    hub_sim: HubSimulator, files: Path, tmp_path: Path, token: str | bool
) -> None:
    hub_sim.add_token("hf_other")
    hub_sim.add_repository("acme/gated", files, gated=True)
    assert HfApi(endpoint=hub_sim.url, token=token).model_info("acme/gated").gated == "manual"
    with pytest.raises(GatedRepoError):
        hf_hub_download(
            "acme/gated", "a b#1.txt", endpoint=hub_sim.url, token=token, cache_dir=tmp_path
        )


def test_missing_things_have_their_own_errors(
    hub_sim: HubSimulator, api: HfApi, tmp_path: Path
) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("acme/missing")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(MINILM, revision="missing")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(MINILM, "missing.txt", endpoint=hub_sim.url, cache_dir=tmp_path)


def test_whoami_knows_good_tokens_from_bad_ones(hub_sim: HubSimulator) -> None:
    assert HfApi(endpoint=hub_sim.url, token=TOKEN).whoami()["name"] == "simulator"
    with pytest.raises(HfHubHTTPError):
        HfApi(endpoint=hub_sim.url, token="hf_unknown").whoami()


def test_faults_make_requests_fail(hub_sim: HubSimulator, api: HfApi) -> None:
    hub_sim.add_fault(Fault(effect="status", path="/api/models/", status=500))
    with pytest.raises(HfHubHTTPError):
        api.model_info(MINILM)
    assert api.model_info(MINILM).id == MINILM
