#!/usr/bin/env bash
# The main job on a real clip: a coordinator and two workers on loopback, with fresh identities and no directory in
# common, make a streaming set of INPUT in OUT, which is empty or holds the set of an earlier demo. Everything that is started here is stopped here.
#
#   scripts/demo.sh INPUT OUT BINDIR
set -euo pipefail

input=$1 out=$2 bin=$3
if [ ! -f "$input" ]; then
    echo "demo: there is no file '$input'; name one: make demo INPUT=/path/to/film.mov" >&2
    exit 2
fi
state=$(mktemp -d "${TMPDIR:-/tmp}/rushes-demo.XXXXXX")
pids=()
finish() {
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || true
    done
    for pid in "${pids[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    if [ "${failed:-yes}" = interrupted ]; then
        rm -rf "$state"
    elif [ "${failed:-yes}" = yes ]; then
        echo "demo: it did not work; the logs are in $state" >&2
    else
        rm -rf "$state"
    fi
}
trap finish EXIT
trap 'failed=interrupted; exit 130' INT TERM

echo "demo: starting a coordinator and two workers"
coordinator=("$bin/rushes-coordinator" --state-dir "$state/coordinator")
"${coordinator[@]}" init >"$state/init.log"
# Sessions of their own: Ctrl-C is for the command in front, which cancels its job at a farm that still runs.
setsid "${coordinator[@]}" run --set api.bind=127.0.0.1:0 --set link.bind=127.0.0.1:0 \
    --set depot.bind=127.0.0.1:0 --set depot.http_bind=127.0.0.1:0 >"$state/coordinator.log" 2>&1 &
pids+=($!)
for ((i = 0; i < 600; i++)); do
    [ -f "$state/coordinator/run.json" ] && break
    kill -0 "${pids[0]}" 2>/dev/null || { cat "$state/coordinator.log" >&2; exit 1; }
    sleep 0.05
done
[ -f "$state/coordinator/run.json" ] || { echo "demo: the coordinator was not ready within 30 s" >&2; exit 1; }
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$state/coordinator/run.json" | head -n 1; }
export RUSHES_URL RUSHES_TOKEN
RUSHES_URL=$(field api_url)
RUSHES_TOKEN=$(cat "$state/coordinator/admin.token")
for n in 1 2; do
    token=$("${coordinator[@]}" token join --name "demo-$n" --quiet)
    worker=("$bin/rushes-worker" --state-dir "$state/worker-$n")
    "${worker[@]}" join "$(field link_addr)" "$token" --name "demo-$n" >"$state/worker-$n.log"
    setsid "${worker[@]}" run >>"$state/worker-$n.log" 2>&1 &
    pids+=($!)
done

mkdir -p "$out"
"$bin/rushes" encode "$input" -o "$out" --preset abr-h264 --force
"$bin/rushes" worker list
echo "demo: any static web server plays it: python3 -m http.server -d $out, then $out/master.m3u8 or manifest.mpd in a player"
failed=no
