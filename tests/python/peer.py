"""A real ProxyStore peer, driven by JSON lines: requests on standard input, replies on standard output.

    peer.py manager    RELAY_URL UUID CHANNELS    a PeerManager
    peer.py connection RELAY_URL UUID CHANNELS    a RelayClient and one PeerConnection
    peer.py client     RELAY_URL UUID CHANNELS    only a RelayClient

The first line it prints is `{"id": 0, "ok": null}`, once the relay has registered it. Then each request
`{"id": 1, "do": "send", ...}` is answered by `{"id": 1, "ok": RESULT}` or `{"id": 1, "error": "Class: text"}`, in any
order: requests run side by side. A message is `{"text": "..."}` or `{"base64": "..."}`. It ends when its input ends.

No STUN server is asked (`ice_servers=[]`, ProxyStore's own parameter): aiortc would wait up to 5 s for one that cannot
be reached. Nothing of ProxyStore is changed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import uuid
from typing import Any

from aiortc import rtcsctptransport
from proxystore.p2p.connection import PeerConnection
from proxystore.p2p.manager import PeerManager
from proxystore.p2p.relay.client import RelayClient
from proxystore.p2p.relay.messages import decode_relay_message
from proxystore.p2p.relay.messages import encode_relay_message

Payload = dict[str, str]
LONGEST_LINE = 1 << 28


def pack(message: bytes | str) -> Payload:
    if isinstance(message, str):
        return {'text': message}
    return {'base64': base64.b64encode(message).decode()}


def unpack(payload: Payload) -> bytes | str:
    if 'text' in payload:
        return payload['text']
    return base64.b64decode(payload['base64'])


class Manager:
    """Requests of a PeerManager."""

    def __init__(self, client: RelayClient, channels: int) -> None:
        self.manager = PeerManager(client, peer_channels=channels, ice_servers=[])

    async def start(self) -> None:
        await self.manager.async_init()

    async def send(self, peer: str, message: Payload, timeout: float = 30) -> None:
        await self.manager.send(uuid.UUID(peer), unpack(message), timeout)

    async def send_raw(self, peer: str, size: int, piece: int) -> None:
        """One message of the data channel itself, which nothing of ProxyStore would send."""
        connection = await self.manager.get_connection(uuid.UUID(peer))
        channel = next(iter(connection._channels.values()))
        channel.transport._remote_max_message_size = 0  # whatever the other side takes
        rtcsctptransport.USERDATA_MAX_LENGTH = piece
        channel.send(bytes(size))

    async def recv(self) -> dict[str, Any]:
        source, message = await self.manager.recv()
        return {'from': str(source), 'message': pack(message)}

    async def connections(self) -> list[str]:
        # ProxyStore goes on closing after it has let go of the connection, and cancels at the end whatever receives
        # from that peer then: a connection that was made meanwhile would be deaf.
        closing = ('on_close', '_on_close')
        tasks = (task.get_coro() for task in asyncio.all_tasks())
        return [connection.state for connection in self.manager._peers.values()] + [
            'closing' for coro in tasks if coro.__name__ in closing
        ]

    async def close_connection(self, peer: str) -> None:
        await self.manager.close_connection((self.manager.uuid, uuid.UUID(peer)))

    async def close(self) -> None:
        await self.manager.close()


class Connection:
    """Requests of one PeerConnection, whose relay messages are passed on by hand."""

    def __init__(self, client: RelayClient, channels: int) -> None:
        self.client = client
        self.channels = channels

    async def start(self) -> None:
        await self.client.connect()
        self.connection = PeerConnection(self.client, channels=self.channels, ice_servers=[])

    async def send_offer(self, peer: str) -> None:
        await self.connection.send_offer(uuid.UUID(peer))

    async def handle_server_message(self) -> None:
        """Waits for the next relay message and hands it over."""
        await self.connection.handle_server_message(await self.client.recv())

    async def ready(self, timeout: float = 30) -> None:
        await self.connection.ready(timeout)

    async def send(self, message: Payload, timeout: float = 30) -> None:
        await self.connection.send(unpack(message), timeout)

    async def recv(self) -> Payload:
        return pack(await self.connection.recv())

    async def state(self) -> str:
        return self.connection.state

    async def close(self) -> None:
        await self.connection.close()

    async def close_client(self) -> None:
        await self.client.close()


class Client:
    """Requests of a RelayClient alone; messages are their JSON texts."""

    def __init__(self, client: RelayClient, channels: int) -> None:
        self.client = client

    async def start(self) -> None:
        await self.client.connect()

    async def send(self, text: str) -> None:
        await self.client.send(decode_relay_message(text))

    async def recv(self) -> str:
        return encode_relay_message(await self.client.recv())

    async def close(self) -> None:
        await self.client.close()


def reply(number: int, **result: Any) -> None:
    print(json.dumps({'id': number, **result}), flush=True)


async def answer(peer: Any, request: dict[str, Any]) -> None:
    number = request.pop('id')
    method = getattr(peer, request.pop('do'))
    try:
        reply(number, ok=await method(**request))
    except Exception as error:
        reply(number, error=f'{type(error).__name__}: {error}')


async def main(kind: str, relay: str, own: str, channels: str) -> None:
    client = RelayClient(relay, client_uuid=uuid.UUID(own), client_name=f'python-{kind}')
    peer = {'manager': Manager, 'connection': Connection, 'client': Client}[kind](client, int(channels))
    await peer.start()
    reply(0, ok=None)

    lines = asyncio.StreamReader(limit=LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    tasks = set()
    while line := await lines.readline():
        task = asyncio.create_task(answer(peer, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main(*sys.argv[1:]))
