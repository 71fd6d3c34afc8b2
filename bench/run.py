#!/usr/bin/env python3
"""Measures memtrack against the untraced program and against other trackers, and prints a table.

    bench/run.py [-n 5] [-w churn,sqlite] [-t memtrack,heaptrack] [--memtrack PATH] [--small]

Builds its workloads and their data into target/bench. The runs of one round follow each other (untraced, then each tool), so
that whatever else the machine does meets all of them; a ratio is that of two runs of one round. Tools and programs that
are not installed are left out, and said so. Nothing here passes or fails.
"""
import argparse
import glob
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
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
        "threads": own("threads", 4, 4_000_000 // scale),
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


def tools(memtrack):
    """Name, what goes before the command, and the commands that report on the file it leaves."""
    found = {"memtrack": ([memtrack, "run", "-q", "-o", "capture.mtk", "--"],
                          [memtrack, "summary", "--json", "capture.mtk"], [memtrack, "report", "--leaks", "capture.mtk"])}
    if shutil.which("heaptrack"):
        found["heaptrack"] = (["heaptrack", "-o", "capture"], None, ["heaptrack_print", "-f", "capture.zst"])
    if subprocess.run([sys.executable, "-m", "memray", "--version"], capture_output=True).returncode == 0:
        found["memray"] = ([sys.executable, "-m", "memray", "run", "-q", "--native", "-o", "capture.bin"], None,
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


def run(command, folder):
    """Wall seconds, KiB of the largest process, and whether it went well."""
    with open(os.devnull, "r+b") as null:
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, stdin=null, stdout=null, stderr=null)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
    return wall, used.ru_maxrss, child.returncode == 0


def under(tool, command):
    """The command as the tool runs it; `None` where it cannot."""
    before = tool[0]
    if before[1:3] == ["-m", "memray"]:
        return before + command[1:] if command[0] == sys.executable else None
    return before + command


def report(tool, folder):
    """Events in the capture (`None`: unknown), seconds until the first answer from it, and until any later one."""
    _, summary, report_command = tool
    first = run(report_command, folder)[0]
    if summary is None:
        return None, None, first
    answer = json.loads(subprocess.run(summary, cwd=folder, capture_output=True, check=True).stdout)
    # Whoever reads a capture first seals it.
    return answer["allocations"] + answer["frees"], first, run(report_command, folder)[0]


def measure(name, command, available, rounds):
    """The lines of one workload."""
    folder = os.path.join(BUILD, "run")
    plain, runs, reports, sizes = [], {tool: [] for tool in available}, {}, {}
    for number in range(rounds):
        for tool in [None, *available]:
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            if tool is None:
                plain.append(run(command, folder)[0])
                continue
            whole = under(available[tool], command)
            if whole is None:
                continue
            wall, rss, good = run(whole, folder)
            if not good:
                print(f"| {name} | | {tool} | failed |", flush=True)
                continue
            runs[tool].append((wall, wall / plain[-1], rss))
            if number == rounds - 1:
                sizes[tool] = sum(map(os.path.getsize, glob.glob(os.path.join(folder, "capture*"))))
                reports[tool] = report(available[tool], folder)
    events = next((events for events, _, _ in reports.values() if events), None)

    def seconds(value):
        return "-" if value is None else f"{value:.2f}"

    for tool, (_, first, later) in reports.items():
        walls, ratios, rss = zip(*runs[tool])
        per_event = f"{sizes[tool] / events:.2f}" if events else "-"
        print(f"| {name} | {min(plain):.3f} | {tool} | {min(walls) / min(plain):.2f} | {statistics.median(ratios):.2f} "
              f"| {per_event} | {sizes[tool] / 1e6:.1f} | {max(rss) / 1024:.0f} | {seconds(first)} | {seconds(later)} |",
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=5, help="rounds")
    parser.add_argument("-w", help="workloads, with commas")
    parser.add_argument("-t", help="tools, with commas")
    parser.add_argument("--memtrack", default=os.path.join(ROOT, "target", "release", "memtrack"))
    parser.add_argument("--small", action="store_true", help="a tenth of the own workloads' size")
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
    print("| workload | untraced s | tool | min | median | bytes/event | MB | peak RSS MB | first report s | report s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, command in chosen.items():
        if shutil.which(command[0]) is None:
            print(f"| {name} | not installed |", flush=True)
            continue
        measure(name, command, available, options.n)


if __name__ == "__main__":
    main()
