"""Runs the real `proxystore-relay` command on a free port and prints the port.

The command itself can listen on port 0 but does not say which port it got, so the function that serves is wrapped
to print it. Nothing else differs from `proxystore-relay --host 127.0.0.1 --port PORT`.
"""

from __future__ import annotations

import contextlib
import sys

import websockets.asyncio.server
from proxystore.p2p.relay.run import cli

serve = websockets.asyncio.server.serve


@contextlib.asynccontextmanager
async def announced_serve(*args, **kwargs):
    async with serve(*args, **kwargs) as server:
        print(f'port {server.sockets[0].getsockname()[1]}', flush=True)
        yield server


websockets.asyncio.server.serve = announced_serve
port = sys.argv[1] if len(sys.argv) > 1 else '0'
host = sys.argv[2] if len(sys.argv) > 2 else '127.0.0.1'
cli(['--host', host, '--port', port, '--log-level', 'ERROR'])
