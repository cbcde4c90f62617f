#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The promise, shown on a file of this machine: feeds it to a log line by line,
# kills the writer in the middle, checks that every line which was acknowledged
# is there, in order and unchanged, goes on where it stopped, and compares the
# whole log with the file.
#
# usage: examples/demo.sh [FILE]     a file of some MB; package lists if none
#
# Installs what is missing to build (.ci/install, which uses apt-get). The log
# stays in build/demo/log, for a look with build/demo/fsck/waldump.
set -eu
cd "$(dirname "$0")/.."

build=build/demo
work=$build/run
log=$build/log
threads=64

say() { printf '\n== %s\n' "$*"; }
show() {
    printf '$ %s\n' "$*"
    "$@"
}
fail() {
    echo "demo: $*" >&2
    exit 1
}
lines() { wc -l <"$1" | tr -d ' '; }

# Some MB of text that every Debian has: what is installed, and its files.
input_find() {
    for file in /var/lib/dpkg/status /var/lib/apt/lists/*_Packages \
        /var/lib/dpkg/info/*.list /var/lib/dpkg/info/*.md5sums \
        /usr/include/*.h /usr/include/linux/*.h; do
        [ -r "$file" ] && cat "$file"
    done | head -c 6000000
}

# The rest of the input, from line $1 on, into the log; acknowledgements to $2.
put() {
    tail -n "+$1" "$work/input" |
        "$build/fsck/walput" --threads $threads --ack "$log" >"$2"
}

say "Install what is missing, and build"
file=
if [ $# -gt 0 ]; then
    [ -r "$1" ] || fail "$1 cannot be read"
    file=$1
fi
.ci/install build
cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Release -DDWAL_TESTS=OFF \
    >/dev/null
cmake --build $build -- --quiet
PATH=$PWD/$build/fsck:$PATH

say "The input"
rm -rf "$work" "$log"
mkdir -p "$work"
if [ -n "$file" ]; then cat "$file"; else input_find; fi >"$work/input"
# The last line gets its newline.
[ "$(tail -c 1 "$work/input" | wc -l)" -eq 1 ] || echo >>"$work/input"
total=$(lines "$work/input")
[ "$total" -ge 2 ] || fail "the input has $total lines; give a larger file"
echo "$total lines, $(wc -c <"$work/input" | tr -d ' ') bytes"

say "Feed it from $threads threads, and kill the writer in the middle"
echo "\$ walput --threads $threads --ack $log <input >acknowledged"
: >"$work/acks"
walput --threads $threads --ack "$log" <"$work/input" >>"$work/acks" &
writer=$!
while kill -0 $writer 2>/dev/null &&
    [ "$(lines "$work/acks")" -lt $((total / 2)) ]; do
    sleep 0.01
done
kill -KILL $writer 2>/dev/null || true
wait $writer 2>/dev/null && echo "(it was done before the kill came)"
# A line without its newline is no acknowledgement.
acked=$(lines "$work/acks")
head -n "$acked" "$work/acks" | sort -n >"$work/lsns"
echo "$acked lines were acknowledged"

say "Check it"
show walfsck "$log" || fail "walfsck exits $?"

say "What is there"
show waldump --limit 3 "$log"
waldump --raw --lines "$log" >"$work/back"
there=$(lines "$work/back")
last=$(tail -n 1 "$work/lsns")
[ "$acked" -eq 0 ] || [ "$last" -le "$there" ] ||
    fail "LSN $last was acknowledged, and the log ends at $there"
[ "$(uniq "$work/lsns" | wc -l)" -eq "$acked" ] ||
    fail "an LSN was acknowledged twice"
head -n "$there" "$work/input" | cmp - "$work/back" ||
    fail "the log differs from the input"
echo "$acked lines were acknowledged, $there are there:" \
    "every acknowledged line, in order and unchanged"

say "Open it again, and append the rest"
echo "\$ tail -n +$((there + 1)) input | walput --threads $threads --ack $log"
put $((there + 1)) "$work/acks2" || fail "walput exits $?"
echo "$(lines "$work/acks2") lines were acknowledged"
show walfsck "$log" || fail "walfsck exits $?"
waldump --raw --lines "$log" | cmp - "$work/input" ||
    fail "the log differs from the input"

say "All $total lines are in the log, in order and unchanged," \
    "$((acked + $(lines "$work/acks2"))) of them acknowledged"
