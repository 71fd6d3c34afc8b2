#!/bin/sh
# The README's pictures: records service.cc, exports the page, and photographs it in a headless Chromium, in light with a
# range of time and in dark. Needs g++, node and chromium; MEMTRACK names the program (default: the debug build).
set -eu
cd "$(dirname "$0")"
memtrack=${MEMTRACK:-../../target/debug/memtrack}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
g++ -g -O1 -pthread service.cc -o "$work/service"
memtrack=$(realpath "$memtrack")
(cd "$work" && "$memtrack" run -q -o service.mtk -- ./service)
"$memtrack" flamegraph -o "$work/service.html" "$work/service.mtk"
node ../../web/tests/browser/picture.js "file://$work/service.html" range light.png
node ../../web/tests/browser/picture.js "file://$work/service.html" dark dark.png
