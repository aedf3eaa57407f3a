"""proxystore-relay on uvloop, on a free port, which is printed: relay.py [HOST]."""

import runpy
import sys
from pathlib import Path

import uvloop

uvloop.install()
sys.argv = ['relay.py', '0', *sys.argv[1:]]
runpy.run_path(str(Path(__file__).parents[2] / 'tests/python/relay.py'), run_name='__main__')
