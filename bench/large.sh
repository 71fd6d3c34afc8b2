#!/bin/sh
# Seals and reads a large capture: bench/large.sh [EVENTS LIVE THREADS STACKS]. Prints seconds and peak memory of each
# command; the capture is made in $TMPDIR and removed again. The numbers to reach: docs/architecture.md.
set -eu
cd "$(dirname "$0")/.."
events=${1:-100000000} live=${2:-1000000} threads=${3:-1} stacks=${4:-10000}
cargo build -q --release -p tracker-cli
cargo build -q --release -p tracker-core --example large_capture
capture=${TMPDIR:-/tmp}/large.$$.mtk
trap 'rm -f "$capture"' EXIT
target/release/examples/large_capture "$capture" "$events" "$live" "$threads" "$stacks"
before=$(stat -c %s "$capture")
echo "$events events, $live live, $threads threads, $stacks stacks: $before bytes"
measure() {
    python3 - "$@" <<'END'
import resource, subprocess, sys, time
start = time.monotonic()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
seconds, usage = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
words = " ".join(sys.argv[2:-1])
print(f"{words:40} {seconds:8.3f} s, {usage.ru_utime + usage.ru_stime:8.3f} s of processor, {usage.ru_maxrss / 1024:7.1f} MiB, exit code {code}")
END
}
measure target/release/memtrack seal "$capture"
echo "index: $(($(stat -c %s "$capture") - before)) bytes"
for command in summary "report --leaks" "report --peak" "tree" "stats" "report --at 50%" "report --from 10% --to 20%" \
    "export --format collapsed"; do
    # Words of a command are its arguments.
    # shellcheck disable=SC2086
    measure target/release/memtrack $command "$capture"
done
