#!/usr/bin/env python3
"""What recording Python programs costs: untraced, memtrack and memray, the runs of a round following each other.

    bench/python.py [-n ROUNDS] [-w WORKLOAD,…] [--objects]

The interpreter is the one that runs this; it needs memray, and gevent for that row. MEMTRACK names the program (default:
target/release/memtrack). Prints, against the untraced run of the same round, the least and the middle ratio of wall time and of
processor time (with that of children), and the capture's bytes for each event. `--objects`: every object of pymalloc's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def classes():
    class Node:
        def __init__(self, name):
            self.name, self.children, self.about = name, [], {"name": name}

    for _ in range(10):
        root = Node("root")
        for i in range(40_000):
            root.children.append(Node(f"node {i}"))
        del root


def objects():
    keep = [{"id": i, "name": f"user {i}", "tags": ["a", str(i)], "at": {"x": i * 0.5}} for i in range(20_000)]
    for _ in range(6):
        assert json.loads(json.dumps(keep, indent=1))


def threads():
    import queue
    import threading

    channel = queue.Queue(1000)

    def produce():
        for i in range(30_000):
            channel.put({"i": i, "payload": bytes(600 + i % 100)})
        channel.put(None)

    def consume():
        keep = []
        while (item := channel.get()) is not None:
            keep.append(item)
            del keep[:-500]

    workers = [threading.Thread(target=work) for work in [produce, consume] * 4]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def tasks():
    import asyncio

    async def work(queue, keep):
        while await queue.get() is not None:
            await asyncio.sleep(0)
            keep.append(bytearray(700))
            del keep[:-2000]

    async def main():
        queue, keep = asyncio.Queue(200), []
        workers = [asyncio.create_task(work(queue, keep), name=f"worker {i}") for i in range(100)]
        for i in range(100_000):
            await queue.put(i)
        for _ in workers:
            await queue.put(None)
        await asyncio.gather(*workers)

    asyncio.run(main())


def greenlets():
    import gevent
    from gevent.queue import Queue

    queue = Queue(100)

    def produce():
        for i in range(1000):
            queue.put([i, bytes(600)])

    def consume():
        keep = []
        while (item := queue.get()) is not None:
            keep.append(item)
            del keep[:-200]

    consumers = [gevent.spawn(consume) for _ in range(50)]
    gevent.joinall([gevent.spawn(produce) for _ in range(100)], raise_error=True)
    for _ in consumers:
        queue.put(None)
    gevent.joinall(consumers, raise_error=True)


def calls():
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    fibonacci(32)


WORKLOADS = {"classes": classes, "json": objects, "threads": threads, "asyncio": tasks, "gevent": greenlets, "calls": calls}
MEMRAY_EVENTS = "import memray, sys; print(memray.FileReader(sys.argv[1]).metadata.total_allocations)"


def output(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure(command):
    """Seconds on the wall and of processors."""
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=5, metavar="ROUNDS")
    parser.add_argument("-w", default=",".join(WORKLOADS), metavar="WORKLOAD,…")
    parser.add_argument("--objects", action="store_true")
    options = parser.parse_args()
    memtrack = os.environ.get("MEMTRACK", str(Path(__file__).parent.parent / "target/release/memtrack"))
    folder = Path(tempfile.mkdtemp(prefix="memtrack-bench-"))
    ours, theirs = str(folder / "a.mtk"), str(folder / "a.bin")
    more = [["--python-allocators"], ["--trace-python-allocators"]] if options.objects else [[], []]
    plain = [sys.executable]
    tools = {
        "memtrack": [memtrack, "run", "-q", "-f", *more[0], "-o", ours, "--", *plain],
        "memray": [*plain, "-m", "memray", "run", "-q", "-f", "--native", *more[1], "-o", theirs],
    }
    print(f"{'':10} {'':8}  wall least middle  cpu least middle   bytes/event")
    for name in options.w.split(","):
        ratios = {tool: [] for tool in tools}
        for _ in range(options.n):
            work = [__file__, "--work", name]
            base = measure(plain + work)
            for tool, command in tools.items():
                found = measure(command + work)
                ratios[tool].append([part / whole for part, whole in zip(found, base)])
        # Before the summary appends its index.
        sizes = {"memtrack": os.path.getsize(ours), "memray": os.path.getsize(theirs)}
        summary = json.loads(output([memtrack, "summary", "--json", ours]))
        events = {
            "memtrack": summary["allocations"] + summary["frees"],
            "memray": int(output([*plain, "-c", MEMRAY_EVENTS, theirs])),
        }
        for tool, size in sizes.items():
            wall, cpu = zip(*ratios[tool])
            row = [min(wall), statistics.median(wall), min(cpu), statistics.median(cpu)]
            row.append(size / max(events[tool], 1))
            numbers = " ".join(f"{number:{width}.2f}" for number, width in zip(row, [10, 6, 10, 6, 13]))
            print(f"{name:10} {tool:8}  {numbers}", flush=True)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        WORKLOADS[sys.argv[2]]()
    else:
        main()
