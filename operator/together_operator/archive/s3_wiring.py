"""S3 sources and destinations from locations, options and the environment.

Imported only when S3 is meant: botocore takes a third of a second.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from together_operator.archive.destinations.s3_notes import archive_key
from together_operator.archive.destinations.s3_upload import S3Object
from together_operator.archive.locations import LocalPath, S3Location, format_of
from together_operator.archive.run import Prepared, derived_name
from together_operator.archive.s3 import has_own_credentials, make_client
from together_operator.archive.sources import Source
from together_operator.archive.sources.opening import StoreOptions
from together_operator.archive.sources.s3 import S3Source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SOURCE, _DESTINATION = "SOURCE_", "DESTINATION_"


def open_prefix(
    location: S3Location,
    target: LocalPath | S3Location | None,
    options: StoreOptions,
    environ: Mapping[str, str],
) -> S3Source:
    """`target` is left out of the listing when it lies below the source."""

    def setting(*names: str) -> str | None:
        return next(
            (environ[_SOURCE + name] for name in names if environ.get(_SOURCE + name)), None
        )

    client = make_client(
        environ,
        endpoint_url=(
            options.source_endpoint_url
            or setting("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
            or options.endpoint_url
        ),
        region=(
            options.source_region or setting("AWS_REGION", "AWS_DEFAULT_REGION") or options.region
        ),
        prefix=_SOURCE if has_own_credentials(environ, _SOURCE) else "",
    )
    return S3Source(client, location, _own_archives(location, target))


def destination_client(
    options: StoreOptions, environ: Mapping[str, str]
) -> Callable[..., "S3Client"]:
    """Makes clients of the destination; its settings in `environ` may begin with `DESTINATION_`."""
    own = any(name.startswith(f"{_DESTINATION}AWS_") for name in environ)
    return partial(
        make_client,
        environ,
        endpoint_url=options.endpoint_url,
        region=options.region,
        prefix=_DESTINATION if own else "",
    )


def open_destination(
    target: S3Location,
    source: Source,
    prepared: Prepared,
    options: StoreOptions,
    environ: Mapping[str, str],
) -> S3Object:
    """A prefix becomes a key below it, derived from the source and the plan."""
    make = destination_client(options, environ)
    client = make()
    stale_prefix = None
    if target.is_prefix:
        name, family = derived_name(source, prepared.plan.digest, prepared.plan.name)
        stale_prefix = target.key + family
        target = S3Location(target.bucket, target.key + name)
    copy_source = None
    if isinstance(source, S3Source):
        same_store = source.client.meta.endpoint_url == client.meta.endpoint_url
        copy_source = source.copy_source if same_store else None
    return S3Object(
        client,
        target,
        stale_prefix=stale_prefix,
        copy_source=copy_source,
        signing_client=partial(make, sign_payload=True),
    )


def _own_archives(
    location: S3Location, target: LocalPath | S3Location | None
) -> Callable[[str], bool]:
    """Which keys of the source are archives that earlier runs wrote below the same prefix, or
    what belongs to these.
    """
    if not isinstance(target, S3Location) or target.bucket != location.bucket:
        return lambda _key: False
    if not target.is_prefix:
        return lambda key: archive_key(key) == target.key

    def is_archive(key: str) -> bool:
        name = archive_key(key)[len(target.key) :]
        return key.startswith(target.key) and "/" not in name and format_of(name) is not None

    return is_archive
