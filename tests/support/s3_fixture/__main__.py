"""`python -m tests.support.s3_fixture`: the server as a process, until its standard input closes.

Prints its URL. Each line on standard input is answered by one line of JSON with the counters.
"""

import json
import sys

import click

from tests.support.s3_fixture.server import S3Fixture


@click.command()
@click.option("--port", default=0)
@click.option("--arena-gib", default=8.0)
@click.option("--touch-gib", default=0.0, help="Memory made resident before the first request.")
@click.option("--bucket", multiple=True, default=["bench"])
def main(port: int, arena_gib: float, touch_gib: float, bucket: tuple[str, ...]) -> None:
    size, touch = int(arena_gib * 2**30), int(touch_gib * 2**30)
    with S3Fixture(arena_bytes=size, touch_bytes=touch, port=port) as fixture:
        for name in bucket:
            fixture.operations.run("CreateBucket", name, "", {}, {}, None)  # type: ignore[arg-type]
        print(fixture.url, flush=True)
        for line in sys.stdin:
            if line.strip() == "reset":
                fixture.counters.__init__()  # type: ignore[misc]
            print(json.dumps(fixture.counters.document()), flush=True)


main()
