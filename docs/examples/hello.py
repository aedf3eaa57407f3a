#!/usr/bin/env python3
import asyncio, sys, uuid
from proxystore.p2p.manager import PeerManager
from proxystore.p2p.relay.client import RelayClient

async def main(relay, peer):
    async with PeerManager(RelayClient(relay)) as peers:
        await peers.send(uuid.UUID(peer), 'hello from Python')
        print(await peers.recv())

asyncio.run(main(*sys.argv[1:]))
