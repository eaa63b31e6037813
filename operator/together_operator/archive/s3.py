"""S3 clients as the archiver wants them; the one place where botocore's errors are translated."""

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointResolutionError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.httpsession import URLLib3Session
from botocore.loaders import Loader, create_loader
from botocore.session import Session
from botocore.utils import get_environ_proxies

from together_operator.archive import network
from together_operator.archive.errors import (
    ArchiveError,
    DestinationUnwritable,
    InvalidUsage,
    PermissionRefused,
    SourceChanged,
    SourceUnacceptable,
    TemporaryFailure,
    UploadGoneError,
)
from together_operator.archive.s3_guard import guard
from together_operator.domain.s3_refusals import Refusal, refusal_of, shown_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

_NO_ENDPOINT = "the S3 endpoint is no URL; write https://HOST or https://HOST:PORT"
# A range that the listing promised: where If-Match is ignored, this is how a change shows.
_CHANGED = frozenset({"412", "InvalidArgument", "InvalidRange", "PreconditionFailed"})


def make_client(
    environ: Mapping[str, str],
    *,
    endpoint_url: str | None,
    region: str | None,
    prefix: str = "",
    sign_payload: bool = False,
    connections: int = 32,
) -> "S3Client":
    """A client with settings from `environ`, whose names may carry `prefix` (`SOURCE_`,
    `DESTINATION_`); an endpoint or a region without it counts where none with it is set.

    `sign_payload`: sign the SHA-256 of each body, which reads it twice. Without explicit keys the
    usual chain decides (profile, web identity, instance). Where the operator restricts addresses,
    the client connects to none that is refused. Raises `PermissionRefused` when a profile is named
    that does not exist, `InvalidUsage` for an endpoint or a region that can't be one.
    """

    def setting(name: str) -> str | None:
        return environ.get(prefix + name) or None

    session = Session(profile=setting("AWS_PROFILE") if prefix else None)
    session.register_component("data_loader", _service_models())
    try:
        configured: str | None = session.get_scoped_config().get("region")
    except ProfileNotFound:
        raise PermissionRefused("the AWS profile that is named does not exist") from None
    key, secret = setting("AWS_ACCESS_KEY_ID"), setting("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        session.set_credentials(key, secret, setting("AWS_SESSION_TOKEN"))

    def either(*names: str) -> str | None:
        values = (environ.get(f"{p}{name}") for p in dict.fromkeys((prefix, "")) for name in names)
        return next(filter(None, values), None)

    region = region or either("AWS_REGION", "AWS_DEFAULT_REGION") or configured or "us-east-1"
    endpoint_url = endpoint_url or either("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    config = Config(
        signature_version="s3v4",
        s3={
            "addressing_style": "path" if endpoint_url else "virtual",
            "us_east_1_regional_endpoint": "regional",
            "payload_signing_enabled": sign_payload,
        },
        retries={"mode": "standard", "max_attempts": 8},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=connections,
        connect_timeout=10,
        read_timeout=60,
        tcp_keepalive=True,
    )
    try:
        made = session.create_client(
            "s3", region_name=region, endpoint_url=endpoint_url, config=config
        )
    except InvalidRegionError:
        raise InvalidUsage("the S3 region is no name of one, such as us-east-1") from None
    except ValueError:
        raise InvalidUsage(_NO_ENDPOINT) from None
    except BotoCoreError as error:
        raise InvalidUsage(f"the AWS settings contradict S3: {type(error).__name__}") from None
    client = cast("S3Client", made)
    policy = network.policy_of(environ)
    if policy is not None:
        guard(client, policy, f"the S3 endpoint {client.meta.endpoint_url}")
    return client


@functools.cache
def _service_models() -> Loader:
    """What botocore reads of S3, 0.1 s of decoding, once for all clients.

    boto3's own session would come on top: it imports s3transfer, which nothing here uses.
    """
    return create_loader()


def has_own_credentials(environ: Mapping[str, str], prefix: str) -> bool:
    names = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE")
    return any(environ.get(prefix + name) for name in names)


def error_code(error: ClientError) -> str:
    """The store's error code; never its message, which is a remote body."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return shown_code(code, "unknown error")


def error_status(error: ClientError) -> int:
    """The HTTP status of the answer, 0 if there was none."""
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def translate(error: Exception, doing: str, *, source: bool) -> ArchiveError:
    """What a failed call means for the run. `doing` names the operation and the object."""
    if isinstance(error, ArchiveError):
        return error
    if isinstance(error, ClientError):
        return _translate_response(error_code(error), error, doing, source=source)
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        side = "SOURCE_AWS_" if source else "AWS_"
        return PermissionRefused(f"{doing}: no credentials; set {side}ACCESS_KEY_ID and its secret")
    if isinstance(error, (BotoConnectionError, HTTPClientError)):
        return TemporaryFailure(f"{doing}: {type(error).__name__}; check the endpoint, run again")
    if isinstance(error, EndpointResolutionError):
        return InvalidUsage(f"{doing}: {_NO_ENDPOINT}, and name a region that these settings have")
    if isinstance(error, BotoCoreError):
        return TemporaryFailure(f"{doing}: {type(error).__name__}")
    raise error


def _translate_response(code: str, error: ClientError, doing: str, *, source: bool) -> ArchiveError:
    refused = SourceUnacceptable if source else DestinationUnwritable
    if code == "NoSuchUpload":
        return UploadGoneError(f"{doing}: somebody else ended this upload; run again")
    match refusal_of(code, error_status(error)):
        case Refusal.UNAUTHORIZED | Refusal.FORBIDDEN:
            return PermissionRefused(f"{doing}: {code}; check the credentials and their policy")
        case Refusal.NO_BUCKET | Refusal.ELSEWHERE:
            return refused(f"{doing}: {code}; check the bucket's name and its region")
        case Refusal.SLOW_DOWN | Refusal.UNAVAILABLE:
            return TemporaryFailure(f"{doing}: {code}; the store is busy, run again")
        case Refusal.DAMAGED:
            return TemporaryFailure(f"{doing}: {code}; it was damaged on its way, run again")
        case Refusal.NOT_FOUND if source:
            return SourceChanged(f"{doing}: {code}; the object changed or is gone, run again")
    if source and code in _CHANGED:
        return SourceChanged(f"{doing}: {code}; the object changed or is gone, run again")
    return refused(f"{doing}: {code}")


def call(operation: Callable[[], T], doing: str, *, source: bool = False) -> T:
    """Run one request, its errors translated without the original in the traceback."""
    try:
        return operation()
    except (ClientError, BotoCoreError) as error:
        raise translate(error, doing, source=source) from None


def read_first_byte(url: str, uri: str) -> None:
    """Prove that a presigned `url` really reads `uri`; the URL never shows up in an error."""
    http = URLLib3Session(
        verify=os.environ.get("AWS_CA_BUNDLE") or True,  # type: ignore[arg-type]  # or a path
        proxies=get_environ_proxies(url),
        timeout=60,
    )
    request = AWSRequest(method="GET", url=url, headers={"Range": "bytes=0-0"})
    try:
        with network.only(network.policy_of(os.environ), url, uri):
            answer = http.send(request.prepare())
        content = answer.content
    except (BotoCoreError, HTTPClientError) as error:
        raise TemporaryFailure(
            f"{uri}: reading it back failed ({type(error).__name__}); run again"
        ) from None
    if refusal_of("", answer.status_code) in {Refusal.SLOW_DOWN, Refusal.UNAVAILABLE}:
        raise TemporaryFailure(
            f"{uri}: reading it back failed ({answer.status_code}); the store is busy, run again"
        )
    if answer.status_code not in (200, 206) or len(content) != 1:
        raise PermissionRefused(
            f"{uri}: a presigned URL answers {answer.status_code}; these credentials need "
            "s3:GetObject on it"
        )
