#!/usr/bin/env python3
"""Measures memtrack against the untraced program and against other trackers, and prints a table.

    bench/run.py [-n 5] [-w churn,sqlite] [-t memtrack,heaptrack] [--memtrack PATH] [--small] [--limit SECONDS]

Builds its workloads and their data into target/bench. The runs of one round follow each other (untraced, then each tool), so
that whatever else the machine does meets all of them; a ratio is that of two runs of one round. A run that takes longer than
the limit is ended, said so, and not tried again. Tools and programs that are not installed are left out, and said so. Nothing
here passes or fails.
"""
import argparse
import glob
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.join(ROOT, "target", "bench")
JQ = "group_by(.group) | map({k: .[0].group, n: length, s: (map(.score) | add)})"


def workloads(small):
    """Name and command."""
    scale = 10 if small else 1

    def own(name, *numbers):
        return [os.path.join(BUILD, name), *map(str, numbers)]

    data = os.path.join(BUILD, "data")
    return {
        "churn": own("churn", 10_000_000 // scale, 8, 256),
        "deep": own("churn", 3_000_000 // scale, 60, 256),
        **{f"threads-{count}": own("threads", count, 4_000_000 // scale) for count in (1, 2, 4, 16, 64)},
        "grow": own("grow", 5_000_000 // scale),
        "stacks": own("stacks", 100_000 // scale, 30),
        "exceptions": own("exceptions", 300_000 // scale),
        "sqlite": ["sqlite3", ":memory:", f".read {data}/work.sql"],
        "jq": ["jq", "-c", JQ, f"{data}/records.json"],
        "lua": ["lua5.4", f"{data}/work.lua"],
        "gcc": ["gcc", "-O2", "-w", "-c", f"{data}/work.c", "-o", "work.o"],
        "git": ["git", "-C", ROOT, "--no-pager", "log", "-p"],
        "python": [sys.executable, "-c", "import json, sys; json.dump(json.load(open(sys.argv[1])), open('/dev/null', 'w'))",
                   f"{data}/records.json"],
    }


class Tool:
    """What goes before a command to record it, and what answers questions about the file it leaves."""

    def __init__(self, before, report, seal=None, events=None):
        self.before, self.report, self.seal, self.events = before, report, seal, events

    def command(self, program):
        """The program's command as the tool runs it; `None` where it cannot."""
        if self.before[1:3] == ["-m", "memray"]:
            return self.before + program[1:] if program[0] == sys.executable else None
        return self.before + program


def tools(memtrack):
    """Those that are installed, by name."""
    def counted(folder):
        answer = json.loads(subprocess.run([memtrack, "summary", "--json", "capture.mtk"], cwd=folder, capture_output=True,
                                           check=True).stdout)
        return answer["allocations"] + answer["frees"]

    def printed(folder):
        # It counts allocations and not frees, so this is at most what was recorded.
        text = subprocess.run(["heaptrack_print", "-p0", "-a0", "-T0", "-f", "capture.zst"], cwd=folder, capture_output=True,
                              timeout=600, check=False).stdout
        found = re.search(rb"calls to allocation functions: (\d+)", text)
        return int(found[1]) if found else None

    found = {"memtrack": Tool([memtrack, "run", "-q", "-o", "capture.mtk", "--"], [memtrack, "report", "--leaks", "capture.mtk"],
                              [memtrack, "seal", "capture.mtk"], counted)}
    if shutil.which("heaptrack"):
        found["heaptrack"] = Tool(["heaptrack", "-o", "capture"], ["heaptrack_print", "-f", "capture.zst"], None, printed)
    if subprocess.run([sys.executable, "-m", "memray", "--version"], capture_output=True, check=False).returncode == 0:
        found["memray"] = Tool([sys.executable, "-m", "memray", "run", "-q", "--native", "-o", "capture.bin"],
                               [sys.executable, "-m", "memray", "summary", "capture.bin"])
    return found


def build():
    data = os.path.join(BUILD, "data")
    os.makedirs(data, exist_ok=True)
    for source in glob.glob(os.path.join(HERE, "workloads", "*.c*")):
        name, kind = os.path.splitext(os.path.basename(source))
        compiler = "g++" if kind == ".cpp" else "gcc"
        subprocess.run([compiler, "-O2", "-g", "-pthread", source, "-o", os.path.join(BUILD, name)], check=True)
    write_data(data)


def write_data(data):
    """The same bytes in every build."""
    chosen = random.Random(20261124)
    words = ["".join(chosen.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chosen.randint(3, 11))) for _ in range(3000)]

    def word():
        return chosen.choice(words)

    def put(name, write):
        path = os.path.join(data, name)
        if not os.path.exists(path):
            with open(path + ".new", "w", encoding="ascii") as file:
                write(file)
            os.rename(path + ".new", path)

    put("records.json", lambda file: json.dump(
        [{"id": i, "name": f"{word()} {word()}", "group": chosen.choice(words[:300]), "score": chosen.random() * 1000,
          "tags": [word() for _ in range(chosen.randint(0, 6))]} for i in range(80_000)], file))

    def sql(file):
        file.write("CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, kind TEXT, score REAL);\nBEGIN;\n")
        for i in range(40_000):
            file.write(f"INSERT INTO people VALUES({i}, '{word()} {word()}', '{chosen.choice(words[:300])}', {i % 977});\n")
        file.write("COMMIT;\nCREATE INDEX by_kind ON people(kind);\n")
        for k in range(8):
            file.write(f"SELECT kind, count(*), group_concat(name) FROM people WHERE id % 8 = {k} GROUP BY kind;\n")

    put("work.sql", sql)
    put("work.lua", lambda file: file.write(
        'local t = {}\nfor i = 1, 600000 do t["k" .. i % 50000] = {i, tostring(i), ("x"):rep(i % 40)} end\n'
        'local parts = {}\nfor i = 1, 300000 do parts[#parts + 1] = ("%d:%s"):format(i, ("y"):rep(i % 10)) end\n'
        "print(#table.concat(parts))\n"))

    def code(file):
        for i in range(1500):
            file.write(f"struct s{i} {{ int a; double b[{i % 7 + 1}]; struct s{max(i - 1, 0)} *next; }};\n"
                       f"int f{i}(struct s{i} *p, int n) {{ int r = 0; for (int k = 0; k < n; k++) "
                       f"r += p->a * k + (int)p->b[k % {i % 7 + 1}]; return r ^ {i}; }}\n")

    put("work.c", code)


def run(command, folder, limit):
    """Wall seconds, KiB of the largest process, and what went wrong, if anything did."""
    late = threading.Event()

    def end(group):
        late.set()
        os.killpg(group, signal.SIGKILL)

    with open(os.devnull, "r+b") as null:
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, stdin=null, stdout=null, stderr=null, start_new_session=True)
        timer = threading.Timer(limit, end, [child.pid])
        timer.start()
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
    wrong = f"not done after {limit} s" if late.is_set() else f"ended with {child.returncode}" if child.returncode else None
    return wall, used.ru_maxrss, wrong


def measure(name, command, available, options):
    """The lines of one workload."""
    folder = os.path.join(BUILD, "run")
    plain, runs, after, wrong = [], {tool: [] for tool in available}, {}, {}
    for number in range(options.n):
        for tool in [None, *available]:
            whole = command if tool is None else available[tool].command(command)
            if whole is None or tool in wrong:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            wall, rss, problem = run(whole, folder, options.limit)
            if problem:
                wrong[tool] = problem
            elif tool is None:
                plain.append(wall)
            else:
                runs[tool].append((wall, wall / plain[-1], rss))
                if number == options.n - 1:
                    after[tool] = look(available[tool], folder, options.limit)
        if None in wrong:
            break
    for tool, problem in wrong.items():
        print(f"| {name} | | {tool or 'untraced'} | {problem} |", flush=True)
    events = after["memtrack"][0] if "memtrack" in after else None
    for tool, (recorded, size, seal, report) in after.items():
        walls, ratios, rss = zip(*runs[tool])
        print(f"| {name} | {min(plain):.3f} | {tool} | {min(walls) / min(plain):.2f} | {statistics.median(ratios):.2f} "
              f"| {shown(recorded, '{:,}')} | {size / 1e6:.2f} | {shown(events and size / events, '{:.2f}')} "
              f"| {max(rss) / 1024:.0f} | {shown(seal, '{:.2f}')} | {shown(report, '{:.2f}')} |", flush=True)


def look(tool, folder, limit):
    """Events in what the tool has left (`None`: unknown), its bytes before anything reads it, seconds for sealing it, and for
    a report."""
    size = sum(map(os.path.getsize, glob.glob(os.path.join(folder, "capture*"))))
    seal = None if tool.seal is None else run(tool.seal, folder, limit)[0]
    report, _, problem = run(tool.report, folder, limit)
    return tool.events and tool.events(folder), size, seal, None if problem else report


def shown(value, form):
    return "-" if value is None else form.format(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=5, help="rounds")
    parser.add_argument("-w", help="workloads, with commas")
    parser.add_argument("-t", help="tools, with commas")
    parser.add_argument("--memtrack", default=os.path.join(ROOT, "target", "release", "memtrack"))
    parser.add_argument("--small", action="store_true", help="a tenth of the own workloads' size")
    parser.add_argument("--limit", type=float, default=300, help="seconds that one run may take")
    options = parser.parse_args()
    build()
    chosen = workloads(options.small)
    available = tools(os.path.abspath(options.memtrack))
    if options.w:
        chosen = {name: chosen[name] for name in options.w.split(",")}
    if options.t:
        available = {name: available[name] for name in options.t.split(",")}
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "?")
    print(f"{model}, {os.cpu_count()} processors, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}, "
          f"{options.n} rounds\n")
    absent = [tool for tool in ("heaptrack", "memray") if tool not in available and not options.t]
    if absent:
        print(f"not installed: {', '.join(absent)}\n")
    print("| workload | untraced s | tool | min | median | recorded | MB | bytes/event | peak RSS MB | seal s | report s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, command in chosen.items():
        if shutil.which(command[0]) is None:
            print(f"| {name} | not installed |", flush=True)
            continue
        measure(name, command, available, options)


if __name__ == "__main__":
    main()
