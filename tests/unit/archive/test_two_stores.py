"""A source in one store, its archive in another: neither gets the other's address or keys."""

from __future__ import annotations

from typing import Any

import pytest

from together_operator.archive import s3_wiring
from together_operator.archive.locations import S3Location
from together_operator.archive.sources.opening import StoreOptions

OTHERS = {
    "DESTINATION_AWS_ENDPOINT_URL": "https://r2.example.com",
    "DESTINATION_AWS_REGION": "auto",
    "DESTINATION_AWS_ACCESS_KEY_ID": "OF-THE-DESTINATION",
    "DESTINATION_AWS_SECRET_ACCESS_KEY": "secret",
}
AMBIENT = {"AWS_ACCESS_KEY_ID": "AMBIENT", "AWS_SECRET_ACCESS_KEY": "secret"}
NOTHING_SAID = StoreOptions(None, None, None, None)


def _store(client: Any) -> tuple[str, str, str]:
    key = client._request_signer._credentials.access_key
    return client.meta.endpoint_url, client.meta.region_name, key


def test_a_source_at_aws_beside_an_archive_elsewhere() -> None:
    place = S3Location("weights", "run/")
    source = s3_wiring.open_prefix(place, None, NOTHING_SAID, OTHERS | AMBIENT)
    make = s3_wiring.destination_client(NOTHING_SAID, OTHERS | AMBIENT)
    assert _store(source.client) == ("https://s3.us-east-1.amazonaws.com", "us-east-1", "AMBIENT")
    assert _store(make()) == ("https://r2.example.com", "auto", "OF-THE-DESTINATION")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_an_endpoint_for_both_is_addressed_by_path_also_with_own_keys(name: str) -> None:
    own = {"SOURCE_AWS_ACCESS_KEY_ID": "OWN", "SOURCE_AWS_SECRET_ACCESS_KEY": "secret"}
    environ = own | AMBIENT | {name: "http://minio:9000"}
    place = S3Location("weights", "run/")
    client: Any = s3_wiring.open_prefix(place, None, NOTHING_SAID, environ).client
    assert _store(client)[::2] == ("http://minio:9000", "OWN")
    assert client.meta.config.s3["addressing_style"] == "path"
