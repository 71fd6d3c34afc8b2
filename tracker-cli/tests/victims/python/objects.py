"""Makes objects whose numbers are known, says what pymalloc says of its arenas, and ends without tidying up."""

import os
import sys
from itertools import repeat


def small():
    return [bytes(100) for _ in repeat(None, 1000)]


def large():
    return [bytes(5000) for _ in repeat(None, 100)]


def gone():
    for _ in repeat(None, 300):
        bytes(200)


def grown():
    text = bytearray(1000)
    for _ in repeat(None, 10):
        text.extend(bytes(600))
    return text


def many():
    """Enough for several arenas, most of which are given back."""
    return [bytes(400) for _ in repeat(None, 20000)]


many()
keep = small(), large(), grown()
gone()
sys._debugmallocstats()
sys.stderr.flush()
os._exit(0)
