#!/usr/bin/env bash
# Puts Debian's promtool into the cache, for the unit tests of the alerts; nothing where one is on PATH. From its module it is minutes of compiling.
# Unpacked, not installed: its package starts a server, on the port of the chat service's metrics.
set -euo pipefail
cache=$HOME/.cache
[[ ${XDG_CACHE_HOME:-} != /* ]] || cache=$XDG_CACHE_HOME
folder=$cache/chatbot-devcluster/promtool-debian
if [[ -x $folder/promtool ]] || command -v promtool >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "promtool: there is none on PATH, and no apt-get to fetch Debian's: the unit tests of the alerts will be skipped" >&2
    exit 0
fi
echo "promtool: fetching Debian's"
mkdir -p "$folder"
draft=$(mktemp -d "$folder/.fetching-XXXXXX")
trap 'rm -rf "$draft"' EXIT
cd "$draft"
fetch() { apt-get download prometheus; }
if ! { fetch || { apt-get update && fetch; }; } &>log; then
    tail -n 3 log >&2
    echo "promtool: apt-get could not fetch the package prometheus, see above: Debian's mirror must be reachable" >&2
    exit 1
fi
dpkg-deb --fsys-tarfile prometheus_*.deb | tar --extract --strip-components=3 ./usr/bin/promtool
mv promtool "$folder/promtool" # whole, or not at all
