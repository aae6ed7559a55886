#!/usr/bin/env bash
# Runs a command under a headline and says how long it took: step.sh HEADLINE COMMAND…
set -uo pipefail
headline=$1
shift
echo "==> $headline"
start=$SECONDS
"$@"
status=$?
if ((status)); then
    echo "==> $headline: failed after $((SECONDS - start)) s (exit $status)" >&2
else
    echo "    $headline: done in $((SECONDS - start)) s"
fi
exit "$status"
