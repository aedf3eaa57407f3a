"""The bench's peer by ProxyStore, on uvloop. What it says and measures is described in bench/peer/src/main.rs.

    peer.py serve RELAY_URL
    peer.py run   RELAY_URL ADDRESS setup|trip|bulk|idle SIZE SECONDS COUNT
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid

import uvloop
from proxystore.p2p.manager import PeerManager
from proxystore.p2p.relay.client import RelayClient


def usage(reset: bool = False) -> dict[str, float]:
    with open('/proc/self/status') as file:
        status = dict(line.split(':', 1) for line in file)
    times = os.times()
    result = {
        'cpu': times.user + times.system,
        'rss': int(status['VmRSS'].split()[0]) << 10,
        'peak': int(status['VmHWM'].split()[0]) << 10,
    }
    if reset:
        with open('/proc/self/clear_refs', 'w') as file:
            file.write('5')
    return result


async def opened(relay: str) -> PeerManager:
    # No STUN server: none can be reached, and aiortc would wait 5 s for it.
    manager = PeerManager(RelayClient(relay), ice_servers=[])
    await manager.async_init()
    return manager


async def serve(relay: str) -> None:
    manager = await opened(relay)
    print(manager.uuid, flush=True)
    asyncio.create_task(answer(manager))
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await lines.read()
    os._exit(0)


async def answer(manager: PeerManager) -> None:
    echo, received, expected = set(), {}, {}
    while True:
        source, message = await manager.recv()

        async def say(word: dict) -> None:
            await manager.send(source, json.dumps(word).encode())

        if message[:1] != b'{':
            received[source] = received.get(source, 0) + len(message)
            if source in echo:
                await manager.send(source, message)
        else:
            word = json.loads(message)
            if word['do'] == 'hello':
                await say({})
            elif word['do'] == 'usage':
                await say(usage(word.get('reset', False)))
            elif word['do'] == 'echo':
                echo.add(source)
            elif word['do'] == 'end':
                expected[source] = word['bytes']
        if source in expected and received.get(source, 0) >= expected[source]:
            del expected[source]
            received[source] = 0
            await say(usage())


class Caller:
    def __init__(self, manager: PeerManager, address: str) -> None:
        self.manager, self.address = manager, uuid.UUID(address)

    async def send(self, message: bytes) -> None:
        await self.manager.send(self.address, message)

    async def recv(self) -> bytes:
        _, message = await self.manager.recv()
        return message

    async def ask(self, word: dict) -> dict:
        await self.send(json.dumps(word).encode())
        return json.loads(await self.recv())


async def meet(manager: PeerManager, address: str) -> Caller:
    caller = Caller(manager, address)
    await caller.ask({'do': 'hello'})
    return caller


async def setup(relay: str, address: str, size: int, seconds: float, count: int) -> dict:
    times = []
    for _ in range(count):
        manager = await opened(relay)
        start = time.perf_counter()
        await meet(manager, address)
        times.append(time.perf_counter() - start)
    return {'seconds': times}


async def trip(relay: str, address: str, size: int, seconds: float, count: int) -> dict:
    caller = await meet(await opened(relay), address)
    await caller.send(b'{"do": "echo"}')
    message, times, start = bytes(size), [], time.perf_counter()
    while time.perf_counter() - start < seconds:
        sent = time.perf_counter()
        await caller.send(message)
        await caller.recv()
        times.append(time.perf_counter() - sent)
    times.sort()
    last = len(times) - 1
    return {'p50': times[int(last * 0.5)], 'p99': times[int(last * 0.99)], 'count': len(times)}


async def bulk(relay: str, address: str, size: int, seconds: float, count: int) -> dict:
    caller = await meet(await opened(relay), address)
    message = bytes(size)
    own, other = usage(True), await caller.ask({'do': 'usage', 'reset': True})
    start, messages = time.perf_counter(), 0
    while messages < count or time.perf_counter() - start < seconds:
        await caller.send(message)
        messages += 1
    other_after = await caller.ask({'do': 'end', 'bytes': messages * size})
    elapsed, own_after = time.perf_counter() - start, usage()

    def difference(before: dict, after: dict) -> dict:
        return {'cpu': after['cpu'] - before['cpu'], 'idle': before['rss'], 'peak': after['peak']}

    return {
        'bytes': messages * size,
        'messages': messages,
        'seconds': elapsed,
        'sender': difference(own, own_after),
        'receiver': difference(other, other_after),
    }


async def idle(relay: str, address: str, size: int, seconds: float, count: int) -> dict:
    first = await meet(await opened(relay), address)

    async def look() -> tuple[dict, dict]:
        return usage(), await first.ask({'do': 'usage'})

    before = await look()
    callers = [await meet(await opened(relay), address) for _ in range(count)]
    await asyncio.sleep(1)
    opened_all = await look()
    await asyncio.sleep(seconds)
    after = await look()

    def of(side: int) -> dict:
        return {
            'bytes': (opened_all[side]['rss'] - before[side]['rss']) / count,
            'cpu': (after[side]['cpu'] - opened_all[side]['cpu']) / count / seconds,
        }

    return {'connections': len(callers), 'caller': of(0), 'answerer': of(1)}


async def run(relay: str, address: str, row: str, size: str, seconds: str, count: str) -> None:
    rows = {'setup': setup, 'trip': trip, 'bulk': bulk, 'idle': idle}
    print(json.dumps(await rows[row](relay, address, int(size), float(seconds), int(count))), flush=True)
    os._exit(0)


uvloop.run({'serve': serve, 'run': run}[sys.argv[1]](*sys.argv[2:]))
