"""All simulators as one process: `python -m tests.support.simulators --port 0`."""

import argparse
import asyncio
import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from tests.support.simulators.hub import HubSimulator, with_minilm
from tests.support.simulators.s3 import S3Simulator
from tests.support.simulators.together import TogetherSimulator
from tests.support.simulators.together.clock import Timing


def duration(text: str) -> tuple[str, float]:
    """A field of `Timing` and its value."""
    name, _, seconds = text.partition("=")
    if name not in Timing.__slots__:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(Timing.__slots__)}")
    return name, float(seconds)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.simulators", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of Together (0: any free one)")
    parser.add_argument("--hub-port", type=int, default=0, help="port of the Hugging Face hub")
    parser.add_argument("--s3-port", type=int, default=0, help="port of S3")
    parser.add_argument(
        "--time-scale",
        type=float,
        default=100.0,
        help="simulated seconds that pass in a real one (default: %(default)s)",
    )
    parser.add_argument(
        "--timing",
        type=duration,
        action="append",
        default=[],
        metavar="NAME=SECONDS",
        help="simulated duration of a step, such as import_restart=60; can be repeated",
    )
    parser.add_argument("--state-file", type=Path, help="keep Together's state over a restart")
    parser.add_argument("--bucket", default="models", help="bucket to create (default: models)")
    return parser.parse_args()


async def serve(options: argparse.Namespace) -> None:
    """Start all three, say where they are, and run until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(with_minilm(HubSimulator(port=options.hub_port)))
        s3 = await stack.enter_async_context(S3Simulator(port=options.s3_port))
        together = await stack.enter_async_context(
            TogetherSimulator(
                port=options.port,
                time_scale=options.time_scale,
                hub_url=hub.url,
                state_file=options.state_file,
                timing=Timing(**dict(options.timing)),
            )
        )
        await asyncio.to_thread(s3.create_bucket, options.bucket)
        urls = {
            "together": {"url": together.url, "key": together.key, "project": together.project.id},
            "hub": {"url": hub.url, "token": hub.token},
            "s3": {
                "url": s3.url,
                "bucket": options.bucket,
                "accessKeyID": s3.access_key_id,
                "secretAccessKey": s3.secret_access_key,
                "region": s3.region,
            },
        }
        print(json.dumps(urls), flush=True)
        await stop.wait()


def main() -> None:
    """Entry point."""
    asyncio.run(serve(arguments()))


if __name__ == "__main__":
    main()
