"""The node's process: ``python -m tests.support.cluster.process_node <settings.json>``.

Standard input carries orders, one JSON object a line, and standard output an answer to each; the
first line of output says that the node is ready. When standard input ends, so does the node.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.cluster.process_node.api import KubeAPI
from tests.support.cluster.process_node.launch import Surroundings
from tests.support.cluster.process_node.log_server import LogServer
from tests.support.cluster.process_node.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable


async def run(settings: dict[str, Any]) -> None:
    authority = Path(settings["authority"])
    async with KubeAPI(settings["server"], settings["token"], authority) as api:
        surroundings = Surroundings(
            api,
            Path(settings["folder"]),
            settings["environment"],
            settings["entrypoint"],
        )
        node = Node(
            settings["name"],
            settings["version"],
            surroundings,
            port=settings["port"],
            grace_seconds=settings["grace_seconds"],
        )
        server = LogServer(node.pod)
        await server.start(settings["port"], Path(settings["certificate"]), Path(settings["key"]))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node.run_pods()), group.create_task(node.heartbeat())]
            await node.listed.wait()
            await node.register()
            _answer({"ready": True})
            await _follow_orders(node)
            for task in tasks:
                task.cancel()


async def _follow_orders(node: Node) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(_protocol(reader), sys.stdin)
    while line := await reader.readline():
        _answer(await _obey(node, json.loads(line)))


def _protocol(reader: asyncio.StreamReader) -> Callable[[], asyncio.StreamReaderProtocol]:
    return lambda: asyncio.StreamReaderProtocol(reader)


async def _obey(node: Node, order: dict[str, str]) -> dict[str, Any]:
    pod = node.pod(order["namespace"], order["pod"])
    if pod is None:
        return {"error": f"pod {order['namespace']}/{order['pod']} isn't on this node"}
    try:
        await pod.evict(order["message"])
    except ValueError as error:
        return {"error": str(error)}
    return {"done": True}


def _answer(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))
    # The reaper ends what is left; nothing here is worth waiting for.
    os._exit(0)
