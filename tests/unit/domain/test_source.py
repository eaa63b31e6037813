"""Sources: which need an archive, when two are the same, and how long a given URL lasts."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.unit.domain import situations as s
from tests.unit.domain.situations import HUB, NOW, OBJECT, PREFIX, SPECS, URL
from together_operator.domain.addresses import AddressPolicy
from together_operator.domain.conditions import Reason
from together_operator.domain.errors import InputError
from together_operator.domain.source import (
    IMPORT_SECONDS,
    check_addresses,
    check_presigned,
    may_change,
    needs_archive,
    presigned_facts,
    problems,
    source_digest,
    source_text,
)


def s3(**fields: object) -> s.Spec:
    """A spec whose source is in S3."""
    return {**PREFIX, "source": {"s3": {"uri": "s3://bucket/weights/", **fields}}}


def claim(**fields: str) -> s.Spec:
    """A spec whose source is a volume."""
    named = {"claimName": "weights", "path": "models/v1", **fields}
    return {**s.CLAIM, "source": {"persistentVolumeClaim": named}}


STAGED: s.Spec = {
    "source": {"huggingFace": {"repo": "org/model", "transfer": "Staged"}},
    "archive": s.TO,
}
COMMIT = {"repo": "org/model", "revision": "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"}


@pytest.mark.parametrize(
    ("spec", "can"),
    [
        pytest.param(HUB, True, id="a default branch moves"),
        pytest.param(s.PINNED, True, id="a tag or branch moves"),
        pytest.param({**s.PINNED, "source": {"huggingFace": COMMIT}}, False, id="a commit stays"),
        pytest.param(OBJECT, True, id="an object is replaced"),
        pytest.param(PREFIX, True, id="files are replaced"),
        pytest.param(URL, False, id="a URL that is signed anew leads to the same"),
        pytest.param(s.CLAIM, False, id="a volume can't be looked into"),
    ],
)
def test_which_sources_are_worth_another_look(spec: s.Spec, can: bool) -> None:
    assert may_change(s.custom_model(spec).spec) is can


def test_how_files_get_to_together_makes_no_other_source() -> None:
    assert digest(HUB) == digest(STAGED)
    assert digest(s.CLAIM) == digest(claim(path="models/v1/"))


@pytest.mark.parametrize(
    ("spec", "needed", "text"),
    [
        pytest.param(HUB, False, "hf://org/model", id="Hugging Face"),
        pytest.param(OBJECT, False, "s3://bucket/model.zip", id="zip in S3"),
        pytest.param(
            s3(uri="s3://b/model.tar.gz"), False, "s3://b/model.tar.gz", id="tar.gz in S3"
        ),
        pytest.param(s3(uri="s3://b/model.tar"), False, "s3://b/model.tar", id="tar in S3"),
        pytest.param(PREFIX, True, "s3://bucket/weights/", id="prefix"),
        pytest.param(s3(uri="s3://b/weights.zip/"), True, "s3://b/weights.zip/", id="folder .zip/"),
        pytest.param(s3(uri="s3://bucket"), True, "s3://bucket", id="bucket"),
        pytest.param(s.PINNED, True, "hf://org/model@v1", id="revision"),
        pytest.param(STAGED, True, "hf://org/model", id="staged"),
        pytest.param(s.CLAIM, True, "pvc/weights/models/v1", id="volume"),
        pytest.param(URL, False, "secret/url", id="URL: its Secret, never the URL"),
    ],
)
def test_kinds_of_source(spec: s.Spec, needed: bool, text: str) -> None:
    cm = s.custom_model(spec)
    assert needs_archive(cm.spec) is needed
    assert source_text(cm.spec) == text


def digest(spec: s.Spec) -> str:
    """The digest of a spec's source."""
    return source_digest(s.custom_model(spec).spec)


def test_every_kind_of_source_has_a_digest_of_its_own() -> None:
    assert len({digest(spec) for spec in SPECS.values()}) == len(SPECS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(HUB, s.OTHER_HUB, id="repository"),
        pytest.param(HUB, s.PINNED, id="revision"),
        pytest.param(s.CLAIM, claim(path="models/v2"), id="folder"),
        pytest.param(s.CLAIM, claim(claimName="other"), id="volume"),
        pytest.param(s3(), s3(uri="s3://bucket/other/"), id="prefix"),
        pytest.param(s3(), s3(endpointURL="https://minio.example.com"), id="store"),
        pytest.param(
            URL,
            {"source": {"presignedURL": {"secretKeyRef": {"name": "url", "key": "other"}}}},
            id="key of the Secret",
        ),
    ],
)
def test_another_source_has_another_digest(one: s.Spec, other: s.Spec) -> None:
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            HUB,
            {"source": {"huggingFace": {"repo": "org/model", "tokenSecretRef": {"name": "t"}}}},
            id="token",
        ),
        pytest.param(s3(), s3(credentialsSecretRef={"name": "keys"}), id="credentials"),
        pytest.param(s3(), s3(region="eu-west-1"), id="region"),
        pytest.param(HUB, {**HUB, "description": "words"}, id="description"),
    ],
)
def test_a_change_beside_the_source_is_the_same_source(one: s.Spec, other: s.Spec) -> None:
    assert digest(one) == digest(other)


def test_digests_do_not_change_between_versions() -> None:
    """They are stored: another digest would import every model again."""
    assert [digest(spec) for spec in (HUB, OBJECT, URL, PREFIX)] == [
        "9298a3c8ea08ea9a",
        "84d4293f11a82833",
        "f21730dad9041606",
        "056eb827e32d3867",
    ]


# Presigned URLs.

ENOUGH = timedelta(seconds=IMPORT_SECONDS)
BASE = "https://bucket.s3.amazonaws.com/model.zip"


def amazon(signed: datetime, seconds: int, prefix: str = "X-Amz-") -> dict[str, str]:
    """Parameters of SigV4."""
    return {
        f"{prefix}Date": f"{signed:%Y%m%dT%H%M%SZ}",
        f"{prefix}Expires": str(seconds),
        f"{prefix}Signature": "top-secret",
    }


def url(query: dict[str, str]) -> SecretStr:
    """A URL with these parameters."""
    return SecretStr(f"{BASE}?{urlencode(query)}")


def unix(moment: datetime) -> str:
    """Seconds since 1970."""
    return str(int(moment.timestamp()))


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(amazon(NOW, IMPORT_SECONDS), id="SigV4, just long enough"),
        pytest.param(amazon(NOW - timedelta(hours=1), 7 * 86400), id="SigV4, signed before"),
        pytest.param(amazon(NOW, IMPORT_SECONDS, "X-Goog-"), id="Google"),
        pytest.param({"Expires": unix(NOW + ENOUGH), "Signature": "x"}, id="SigV2"),
        pytest.param({"se": f"{NOW + ENOUGH:%Y-%m-%dT%H:%M:%SZ}", "sig": "x"}, id="Azure"),
        pytest.param({"se": "2026-03-02", "sig": "x"}, id="Azure, a date"),
        pytest.param({"token": "of some other system"}, id="nothing that is known"),
        pytest.param({"se": "not a date", "sig": "x"}, id="Azure, no date"),
        pytest.param({"Expires": "9" * 30}, id="beyond all dates"),
        pytest.param({"Expires": "9" * 5000}, id="beyond all numbers"),
        pytest.param(amazon(NOW, 10**20), id="SigV4, beyond all dates"),
        pytest.param({"X-Amz-Date": "yesterday", "X-Amz-Expires": "1"}, id="SigV4, no date"),
        pytest.param({"X-Amz-Date": "20260301T120000Z"}, id="SigV4, no expiry"),
    ],
)
def test_a_url_that_lasts_or_does_not_say_is_taken(query: dict[str, str]) -> None:
    assert len(presigned_facts(url(query), NOW).revision) == 16


@pytest.mark.parametrize(
    ("query", "ends"),
    [
        pytest.param(amazon(NOW, IMPORT_SECONDS - 1), "13:39:59", id="SigV4, a second short"),
        pytest.param(amazon(NOW - timedelta(hours=2), 3600), "11:00:00", id="SigV4, over already"),
        pytest.param(amazon(NOW, 60, "X-Goog-"), "12:01:00", id="Google"),
        pytest.param({"Expires": unix(NOW)}, "12:00:00", id="SigV2"),
        pytest.param({"se": "2026-03-01T12:30:00Z", "sig": "x"}, "12:30:00", id="Azure"),
        pytest.param(
            {
                "se": NOW.astimezone(timezone(timedelta(hours=5))).isoformat(),
                "sig": "x",
            },
            "12:00:00",
            id="Azure, another zone",
        ),
        pytest.param({"se": "2026-03-01T12:30:00", "sig": "x"}, "12:30:00", id="Azure, no zone"),
    ],
)
def test_a_url_that_ends_too_early_is_refused_with_its_end(
    query: dict[str, str], ends: str
) -> None:
    with pytest.raises(InputError) as caught:
        presigned_facts(url(query), NOW)
    assert caught.value.reason is Reason.URL_EXPIRED
    said = str(caught.value)
    assert f"2026-03-01 {ends} UTC" in said
    assert "100 minutes" in said
    assert BASE not in said
    assert "top-secret" not in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3://bucket/model.zip",
        "bucket.s3.amazonaws.com/model.zip?X-Amz-Signature=top-secret",
        "https://",
        "https:///model.zip",
        "https://[broken/model.zip?sig=top-secret",
        "ftp://example.com/model.zip",
    ],
)
def test_what_is_no_url_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InputError) as caught:
        presigned_facts(SecretStr(text), NOW)
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert "top-secret" not in str(caught.value)
    assert "model.zip" not in str(caught.value)


def test_a_newly_signed_url_is_a_new_revision() -> None:
    one = presigned_facts(url(amazon(NOW, 7200)), NOW)
    other = presigned_facts(url(amazon(NOW + timedelta(seconds=1), 7200)), NOW)
    assert one.revision != other.revision
    assert one == presigned_facts(url(amazon(NOW, 7200)), NOW)


def test_a_url_tells_nothing_but_itself() -> None:
    facts = presigned_facts(url(amazon(NOW, 7200)), NOW)
    assert (facts.files, facts.size_bytes, facts.base_model) == (None, None, None)
    assert "top-secret" not in str(facts)


queries = st.dictionaries(
    st.sampled_from(["X-Amz-Date", "X-Amz-Expires", "X-Goog-Date", "Expires", "se", "sig"]),
    st.text(max_size=30) | st.integers().map(str) | st.sampled_from(["20260301T120000Z", "0"]),
)


@given(st.one_of(st.text(), queries.map(lambda q: f"{BASE}?{urlencode(q)}")))
def test_any_value_of_a_secret_is_taken_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        assert len(presigned_facts(SecretStr(text), NOW).revision) == 16
        assert text.lower().lstrip().startswith("http")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (["a"], "a"),
        (["a", "b"], "2 problems: a | b"),
        ([*"abcdefghij"], "10 problems: " + " | ".join("abcdefghij")),
        (["x"] * 100_000, "100000 problems: " + "x | " * 10 + "and 99990 more"),
    ],
)
def test_of_many_problems_ten_are_told(found: list[str], told: str) -> None:
    assert problems(found) == told


REFUSING, ALLOWING = AddressPolicy(), AddressPolicy.parse("127.0.0.0/8")
METADATA = "http://169.254.169.254"


def to(endpoint: str) -> s.Spec:
    """A spec whose archives go to a store at this address."""
    return {**PREFIX, "archive": {"destination": {"uri": "s3://b-b/a/", "endpointURL": endpoint}}}


@pytest.mark.parametrize(
    ("spec", "policy", "field"),
    [
        (s3(endpointURL=METADATA), REFUSING, "spec.source.s3.endpointURL"),
        (s3(endpointURL="http://127.0.0.1:9000"), REFUSING, "spec.source.s3.endpointURL"),
        (to("http://localhost:9000"), REFUSING, "spec.archive.destination.endpointURL"),
        (to(METADATA), ALLOWING, "spec.archive.destination.endpointURL"),
    ],
)
def test_an_endpoint_that_leads_where_it_may_not_is_refused_by_its_field(
    spec: s.Spec, policy: AddressPolicy, field: str
) -> None:
    with pytest.raises(InputError, match=field) as caught:
        check_addresses(s.custom_model(spec).spec, policy)
    assert caught.value.reason is Reason.ADDRESS_REFUSED


@pytest.mark.parametrize(
    ("spec", "policy"),
    [
        (s3(), REFUSING),
        (s3(endpointURL="https://minio.example.com"), REFUSING),
        (to("http://10.0.0.7:9000"), REFUSING),
        (to("http://127.0.0.1:9000"), ALLOWING),
        (HUB, REFUSING),
        (s.CLAIM, REFUSING),
    ],
)
def test_other_endpoints_pass(spec: s.Spec, policy: AddressPolicy) -> None:
    check_addresses(s.custom_model(spec).spec, policy)


def test_a_presigned_url_is_judged_and_never_quoted() -> None:
    url = SecretStr(f"{METADATA}/model.zip?X-Amz-Signature=s3cret")
    with pytest.raises(InputError, match="a metadata service's") as caught:
        check_presigned(url, ALLOWING)
    assert caught.value.reason is Reason.ADDRESS_REFUSED
    assert "169.254" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    check_presigned(SecretStr("https://bucket.example.com/model.zip?sig=x"), REFUSING)
    check_presigned(SecretStr("http://127.0.0.1:9000/model.zip"), ALLOWING)
