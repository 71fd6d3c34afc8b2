"""Makes each test a region, and the limits of pytest-memray's markers budgets that memtrack judges.

    memtrack run --check -- python -m pytest -p pytest_memtrack

``limit_memory("24 MB")`` limits what a test has allocated and not yet freed at any moment, ``limit_leaks("1 MB")`` what any one
stack has left when the test ends. Sizes are read as pytest-memray reads them: 1 KB is 1024 bytes.
"""

import gc
import re

import memtrack_region
import pytest

_SIZE = re.compile(r"^(?P<number>\d+(\.\d*)?|\.\d+)\s*(?P<unit>[KMGTP]?B)$", re.IGNORECASE)
_UNITS = ["B", "KB", "MB", "GB", "TB", "PB"]
_MARKERS = ("limit_memory", "limit_leaks")


def pytest_configure(config):
    config.addinivalue_line("markers", "limit_memory(limit, current_thread_only=False): most memory of the test's own")
    config.addinivalue_line("markers", "limit_leaks(limit, current_thread_only=False): what each stack may leave behind")


def _bytes(text):
    match = _SIZE.match(text)
    if match is None:
        raise pytest.UsageError(f"{text!r} is no size; write for example '24 MB'")
    return int(float(match["number"]) * 1024 ** _UNITS.index(match["unit"].upper()))


def _budget(item):
    """Limits of the test, whether only its own thread counts, and whether leaks are asked for."""
    limits, thread, leaks = [], False, False
    for marker in item.iter_markers():
        if marker.name not in _MARKERS:
            continue
        arguments = dict(marker.kwargs)
        thread |= bool(arguments.pop("current_thread_only", False))
        if arguments or len(marker.args) != 1:
            raise pytest.UsageError(f"{item.nodeid}: memtrack reads {marker.name}(SIZE, current_thread_only=…) only")
        size = _bytes(marker.args[0])
        if marker.name == "limit_memory":
            limits.append(f"peak={size}")
        else:
            leaks = True
            # A stack that leaves as much as the limit is one too many.
            limits.append(f"stack.leaked={max(size - 1, 0)}")
    return ",".join(limits), thread, leaks


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    limits, thread, leaks = _budget(item)
    if leaks:
        gc.collect()
    region = memtrack_region.begin(item.nodeid, limits, thread)
    try:
        yield
    finally:
        if leaks:
            # What is only waiting for the collector is not left behind.
            gc.collect()
        memtrack_region.end(region)
