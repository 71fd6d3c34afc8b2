"""Regions: parts of a program's run that memtrack counts on their own.

    from memtrack_region import region

    with region("import", limits="peak=1MiB"):
        ...

In a program that memtrack does not record, nothing happens. A region counts the allocations of the whole process, or with
``thread=True`` of the thread that began it. Limits are judged by ``memtrack check`` and ``memtrack run --check``.
"""

import contextlib

__all__ = ["begin", "end", "is_recorded", "region"]


def _functions():
    try:
        import ctypes

        program = ctypes.CDLL(None)
        begin, end = program.memtrack_region_begin, program.memtrack_region_end
    except (ImportError, OSError, AttributeError):
        return None

    class Text(ctypes.Structure):
        _fields_ = [("bytes", ctypes.c_char_p), ("len", ctypes.c_size_t)]

    begin.argtypes = [Text * 2, ctypes.c_uint32]
    begin.restype = ctypes.c_uint64
    end.argtypes = [ctypes.c_uint64]
    end.restype = None
    return begin, end, Text


_found = _functions()


def is_recorded():
    """Whether the program is being recorded."""
    return _found is not None


def begin(name, limits="", thread=False):
    """Begins a region; answers what ``end`` takes."""
    if _found is None:
        return 0
    function, _, text = _found
    name, limits = name.encode("utf-8", "replace"), limits.encode()
    texts = (text * 2)(text(name, len(name)), text(limits, len(limits)))
    return function(texts, 0 if thread else 1)


def end(identity):
    """Ends the region; 0 is none."""
    if _found is not None:
        _found[1](identity)


@contextlib.contextmanager
def region(name, limits="", thread=False):
    """A region around a block."""
    identity = begin(name, limits, thread)
    try:
        yield
    finally:
        end(identity)
