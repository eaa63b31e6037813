"""An S3 client whose endpoint a user named: what it connects to, and what it takes as an answer."""

import time
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import HTTPClientError
from urllib3.exceptions import HTTPError

from together_operator.archive.errors import TemporaryFailure
from together_operator.archive.network import AddressRefused, only
from together_operator.domain.addresses import AddressPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

MAX_ANSWER = 16 << 20
"""Bytes of an answer that is no object: a page of 1,000 keys has 2 MiB at most."""

MAX_SECONDS = 60.0
"""For such an answer, which a store could also send byte by byte."""


class StrangeAnswer(TemporaryFailure):
    """The endpoint's answer is none that S3 gives."""


def guard(client: "S3Client", policy: AddressPolicy, what: str) -> None:
    """Let a client connect to no address that is refused, and read no endless answer.

    Its requests then raise `AddressRefused` and `StrangeAnswer`, besides botocore's errors.
    """
    # botocore lets a handler answer in its place; sending is left to the client's own session.
    session = client._endpoint.http_session  # type: ignore[attr-defined]  # noqa: SLF001

    def send(request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse:
        is_object = request.stream_output
        request.stream_output = True  # else all of it is read at once
        try:
            with only(policy, request.url, what):
                answer: AWSResponse = session.send(request)
        except HTTPClientError as error:
            cause = error.kwargs.get("error")
            raise (cause if isinstance(cause, AddressRefused) else error) from None
        if event_name.endswith(".HeadBucket") and _leads_on(answer):
            raise StrangeAnswer("the endpoint redirects without telling the bucket's region")
        if is_object and answer.status_code < 300:
            return answer
        whole: Any = _Whole(_read(answer))
        return AWSResponse(answer.url, answer.status_code, answer.headers, whole)  # type: ignore[arg-type]

    events: Any = client.meta.events  # its stubs know no handler that answers
    events.register("before-send.s3", send)


def _leads_on(answer: AWSResponse) -> bool:
    """A redirect without a region: botocore would ask again for the region, without an end."""
    return answer.status_code in {301, 302, 307} and "x-amz-bucket-region" not in answer.headers


class _Whole:
    """A body that has been read, as botocore wants it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> "Iterator[bytes]":
        yield self._data


def _read(answer: AWSResponse) -> bytes:
    ends, parts, size = time.monotonic() + MAX_SECONDS, [], 0
    try:
        while part := answer.raw.read1(64 << 10):
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER or time.monotonic() > ends:
                answer.raw.close()
                raise StrangeAnswer("the endpoint's answer is longer than any that S3 gives")
    except (HTTPError, OSError) as error:
        raise HTTPClientError(error=error) from None
    answer.raw.release_conn()
    return b"".join(parts)
