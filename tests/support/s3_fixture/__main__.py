"""`python -m tests.support.s3_fixture`: the server as a process, until its standard input closes.

Prints its URL. Each line on standard input is a JSON object with an `op`, answered by one line:
`counters`, `reset` (counters to zero, unfinished uploads gone), `quirks` (the given ones),
`delete`, `size` and `digest` (of `key`), and `compose` (`key` from base64 `start` and then `size`
bytes of the object `of`, over and over, by reference).
"""

import base64
import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

import click

from tests.support.s3_fixture.behaviour import Counters
from tests.support.s3_fixture.server import S3Fixture
from tests.support.s3_fixture.storage import Content


class Control:
    def __init__(self, fixture: S3Fixture, bucket: str) -> None:
        self._fixture = fixture
        self._bucket = bucket

    def run(self, request: dict[str, Any]) -> dict[str, object]:
        questions = {"digest": self._digest, "size": self._size}
        if request["op"] in questions:
            return questions[request["op"]](request["key"])
        operations: dict[str, Callable[[dict[str, Any]], None]] = {
            "counters": lambda _: None,
            "reset": self._reset,
            "quirks": self._set_quirks,
            "delete": self._delete,
            "compose": self._compose,
        }
        operations[request.pop("op")](request)
        return self._fixture.counters.document()

    def _reset(self, _: dict[str, Any]) -> None:
        vars(self._fixture.counters).update(vars(Counters()))
        self._fixture.storage.uploads.clear()

    def _content(self, key: str) -> Content:
        return self._fixture.storage.buckets[self._bucket].objects[key].content

    def _size(self, key: str) -> dict[str, object]:
        return {"size": self._content(key).size}

    def _digest(self, key: str) -> dict[str, object]:
        content = self._content(key)
        digest = hashlib.sha256()
        for view in content.views():
            digest.update(view)
        return {"size": content.size, "sha256": digest.hexdigest()}

    def _set_quirks(self, wanted: dict[str, Any]) -> None:
        vars(self._fixture.quirks).update(wanted)

    def _delete(self, wanted: dict[str, Any]) -> None:
        self._fixture.storage.buckets[self._bucket].objects.pop(wanted["key"], None)

    def _compose(self, wanted: dict[str, Any]) -> None:
        storage, left = self._fixture.storage, wanted["size"]
        start = storage.put_bytes(self._bucket, "composed", base64.b64decode(wanted["start"]))
        contents = [start.content]
        while left:
            of = storage.buckets[self._bucket].objects[wanted["of"]].content
            contents.append(of.slice(0, left))
            left -= contents[-1].size
        storage.put_content(self._bucket, wanted["key"], Content.joined(contents))
        self._delete({"key": "composed"})


@click.command()
@click.option("--port", default=0)
@click.option("--arena-gib", default=8.0)
@click.option("--touch-gib", default=0.0, help="Memory made resident before the first request.")
@click.option("--bucket", default="bench")
def main(port: int, arena_gib: float, touch_gib: float, bucket: str) -> None:
    size, touch = int(arena_gib * 2**30), int(touch_gib * 2**30)
    with S3Fixture(arena_bytes=size, touch_bytes=touch, port=port) as fixture:
        fixture.operations.run("CreateBucket", bucket, "", {}, {}, Content(()))
        control = Control(fixture, bucket)
        print(fixture.url, flush=True)
        for line in sys.stdin:
            print(json.dumps(control.run(json.loads(line))), flush=True)


main()
