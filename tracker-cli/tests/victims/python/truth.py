"""Allocates blocks of unique sizes, each on the very line where it asks the interpreter for its own stack, and writes what
it was told: one JSON object per stack with the sum of its sizes, to the file named by the last argument, and the process
id for children. What the tracker has recorded must be the same, to the byte."""

import asyncio
import contextvars
import ctypes
import functools
import gc
import itertools
import json
import os
import re
import sys
import threading

OUT = sys.argv[-1]
LARGE = 3_000_000
STEP = 64
numbers = itertools.count()
sums = {}
lock = threading.Lock()


# From this version on the interpreter says which task a thread runs, and of a thread so many names are told apart.
TASKS = sys.version_info >= (3, 14)
NAMES = 256
given = contextvars.ContextVar("given", default=None)
told_apart = threading.local()


def task():
    """As it is shown, if it has a name that was given to it."""
    name, names = given.get(), told_apart.__dict__
    if name is None or not TASKS:
        return ()
    if name in names or len(names) < NAMES:
        names[name] = True
        return (("", "[task %s]" % name, 0),)
    return (("", "[other tasks]", 0),)


def stack(frame):
    found = []
    while frame is not None:
        code = frame.f_code
        found.append((code.co_filename, getattr(code, "co_qualname", code.co_name), frame.f_lineno))
        frame = frame.f_back
    return tuple(found) + task()


def note(size, found):
    with lock:
        count, total = sums.get(found, (0, 0))
        sums[found] = (count + 1, total + size)


def mark():
    size = LARGE + STEP * next(numbers)
    found = stack(sys._getframe()); block = bytes(size)
    note(size + 33, found)
    return len(block)


libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def mark_unlocked():
    """ctypes lets go of the interpreter's lock around the call."""
    size = LARGE + STEP * next(numbers)
    found = stack(sys._getframe()); block = libc.malloc(size)
    note(size, found)
    libc.free(block)


def plain(depth):
    return plain(depth - 1) if depth else mark()


def generator(count):
    for turn in range(count):
        mark()
        yield turn
        mark()


def delegating(count):
    yield from generator(count)


class Context:
    def __enter__(self):
        mark()
        return self

    def __exit__(self, *what):
        mark()
        return True


class Special:
    def __init__(self, value):
        self.value = mark()

    def __getattr__(self, name):
        mark()
        return 1

    @property
    def property(self):
        return mark()

    def __lt__(self, other):
        mark()
        return True

    def __del__(self):
        mark()

    def __add__(self, other):
        mark()
        return self

    def __call__(self, *arguments):
        return mark()

    def __getitem__(self, index):
        mark()
        return index

    def __iter__(self):
        mark()
        return iter([1, 2])


class Derived(Special):
    def __init__(self, value):
        super().__init__(value)
        mark()


def inlined_init():
    for turn in range(40):
        Special(turn)


def decorator(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        mark()
        return function(*arguments)

    return wrapper


@decorator
def comprehensions():
    return [mark() for _ in range(3)], {key: mark() for key in range(2)}, sum(mark() for _ in range(3))


def recursion(depth):
    return recursion(depth - 1) + 1 if depth else mark()


def callbacks():
    sorted([3, 1, 2], key=lambda value: mark() and value)
    list(map(lambda value: mark(), range(2)))
    functools.reduce(lambda a, b: mark(), [1, 2, 3])
    re.sub("a", lambda match: (mark(), "b")[1], "aa")
    functools.partial(mark)()
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    values = (ctypes.c_int * 4)(3, 2, 1, 0)
    libc.qsort(values, 4, 4, compare(lambda a, b: (mark(), 1)[1]))


def objects():
    special = Special(1)
    special.missing
    special.property
    special + special
    special()
    special[2]
    max(special, special)
    list(special)
    Derived(2)
    eval("mark()")
    exec("def inside():\n  mark()\ninside()", globals())
    with Context():
        raise ValueError
    try:
        1 / 0
    except ZeroDivisionError:
        mark()
    finally:
        mark()


def reused_addresses():
    """Code objects that end, and others that begin at their addresses."""
    for turn in range(200):
        head, body = "\n" * (turn % 7), "    pass\n" * (turn % 5)
        source = "%sdef f%d():\n%s    mark()\nf%d()" % (head, turn % 10, body, turn % 10)
        exec(compile(source, "file%d.py" % (turn % 13), "exec"), {"mark": mark})


async def coroutine(depth):
    if depth:
        await coroutine(depth - 1)
    mark()
    await asyncio.sleep(0)
    mark()


async def async_generator():
    for turn in range(2):
        mark()
        yield turn
        await asyncio.sleep(0)


async def tasks():
    await asyncio.gather(*(coroutine(number % 4) for number in range(50)))
    async for _ in async_generator():
        mark()
    await asyncio.get_running_loop().run_in_executor(None, mark)
    await asyncio.create_task(coroutine(2))
    await asyncio.gather(*(named("job %d" % number, number % 4) for number in range(20)))
    await named("Größe \u20ac \U0001f600" + "x" * 20, 1)
    # Each begins where another one and its name have ended.
    for turn in range(250):
        await named("turn %d" % turn, 0)
    await asyncio.create_task(coroutine(1))
    # Its name is asyncio's, but a text.
    asked = asyncio.create_task(coroutine(1))
    assert asked.get_name().startswith("Task-")
    await asked


class OwnTask(asyncio.Task):
    pass


def named(name, depth):
    kind = OwnTask if depth == 3 else asyncio.Task
    return kind(under_name(name, depth), loop=asyncio.get_running_loop(), name=name)


async def under_name(name, depth):
    given.set(name)
    await coroutine(depth)
    mark_unlocked()
    if depth == 2:
        asyncio.current_task().set_name("second " + name)
        given.set("second " + name)
        await coroutine(1)


def worker(number):
    for _ in range(20):
        plain(number)
        list(delegating(1))
        mark_unlocked()


def threads():
    workers = [threading.Thread(target=worker, args=(number,)) for number in range(6)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()


def child(number):
    sums.clear()
    plain(number % 7)
    list(delegating(2))
    write()


def processes(method, count):
    import multiprocessing

    context = multiprocessing.get_context(method)
    children = [context.Process(target=child, args=(number,)) for number in range(count)]
    for process in children:
        process.start()
    for process in children:
        process.join()
        assert process.exitcode == 0


def reader(descriptor):
    mark()
    os.read(descriptor, 1)
    mark()


def waiting():
    """Threads that wait for input most of the time."""
    read, write = os.pipe()
    workers = [threading.Thread(target=reader, args=(read,)) for _ in range(20)]
    for thread in workers:
        thread.start()
        plain(1)
    os.write(write, b"x" * len(workers))
    for thread in workers:
        thread.join()


def write(suffix=""):
    with open("%s.%d%s" % (OUT, os.getpid(), suffix), "w") as out:
        for found, (count, total) in sums.items():
            out.write(json.dumps({"stack": found, "count": count, "bytes": total}) + "\n")


def language():
    # A collection would call __del__ wherever it happens to run.
    gc.disable()
    plain(0)
    plain(5)
    list(generator(2))
    list(delegating(2))
    inlined_init()
    comprehensions()
    recursion(300)
    callbacks()
    objects()
    reused_addresses()
    sys.setrecursionlimit(5000)
    recursion(900)
    asyncio.run(tasks())
    threads()
    waiting()


if __name__ == "__main__":
    for part in sys.argv[1:-1]:
        name, _, count = part.partition(":")
        if count:
            processes(name, int(count))
        else:
            globals()[name]()
    write()
