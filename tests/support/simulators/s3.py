"""An S3 server: moto's, behind a gate that checks what moto doesn't.

moto verifies neither signatures nor the expiry of presigned URLs. The gate recomputes SigV4 and
answers as S3 does: wrong key, wrong secret, expired, another region's signature, no signature.
"""

import asyncio
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from tests.support.simulators.s3_gate import Gate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY_ID = "AKIASIMULATOR"
SECRET_ACCESS_KEY = "simulator-secret-access-key"
REGION = "us-east-1"


class _QuietHandler(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Nothing: a line a request helps nobody."""


class S3Simulator:
    """The server, in a thread of its own; a context manager, also an asynchronous one.

    Args:
        port: 0 takes a free one.
    """

    access_key_id = ACCESS_KEY_ID
    secret_access_key = SECRET_ACCESS_KEY
    region = REGION

    def __init__(self, *, port: int = 0) -> None:
        self.gate = Gate(
            DomainDispatcherApplication(create_backend_app),
            {ACCESS_KEY_ID: SECRET_ACCESS_KEY},
        )
        self._port = port
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base URL, for `endpoint_url`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def calls(self) -> Counter[str]:
        """Requests by `METHOD /path`."""
        return self.gate.calls

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be let in."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
        }

    def client(self, region: str = REGION) -> "S3Client":
        """A client that is let in."""
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        return client

    def create_bucket(self, name: str, region: str = REGION) -> None:
        """Create a bucket; requests to it must be signed for its region."""
        self.gate.regions[name] = region
        if region == "us-east-1":
            self.client().create_bucket(Bucket=name)
        else:
            self.client(region).create_bucket(
                Bucket=name,
                CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]
            )

    def upload(self, directory: Path, bucket: str, prefix: str = "") -> list[str]:
        """Upload all files of a directory under a prefix; gives the keys."""
        client = self.client(self.gate.regions.get(bucket, REGION))
        keys = []
        for path in sorted(p for p in directory.rglob("*") if p.is_file()):
            key = prefix + path.relative_to(directory).as_posix()
            client.upload_file(str(path), bucket, key)
            keys.append(key)
        return keys

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """All keys under a prefix."""
        client = self.client(self.gate.regions.get(bucket, REGION))
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def unfinished_uploads(self, bucket: str) -> list[str]:
        """Keys of multipart uploads that were neither completed nor aborted."""
        client = self.client(self.gate.regions.get(bucket, REGION))
        listing = client.list_multipart_uploads(Bucket=bucket)
        return [item["Key"] for item in listing.get("Uploads", [])]

    def add_credentials(self, access_key_id: str, secret_access_key: str) -> None:
        """Let another key in."""
        self.gate.secrets[access_key_id] = secret_access_key

    def remove_credentials(self, access_key_id: str) -> None:
        """Turn a key away from now on, and with it all URLs that it has signed."""
        del self.gate.secrets[access_key_id]

    def advance(self, seconds: float) -> None:
        """Let the server's clock run ahead, so that presigned URLs expire."""
        self.gate.clock_offset += seconds

    def reset(self) -> None:
        """Forget all buckets, credentials other than the default, faults and counts."""
        self.gate.reset({ACCESS_KEY_ID: SECRET_ACCESS_KEY}, self._port)

    def start(self) -> None:
        """Serve on the loopback."""
        self._server = make_server(
            "127.0.0.1", self._port, self.gate, threaded=True, request_handler=_QuietHandler
        )
        self._port = self._server.port
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="S3Simulator",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop serving. Buckets live in the process and are gone with `reset`."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)
