#!/usr/bin/env bash
# Builds the cluster's binaries and the images beside each other; fails when either failed, and takes both along when it is ended.
set -uo pipefail
.venv/bin/python scripts/images.py build &
images=$!
.venv/bin/python -m devcluster build &
binaries=$!
trap 'kill "$images" "$binaries" 2>/dev/null; exit 130' INT TERM
wait "$images"
images_status=$?
wait "$binaries"
binaries_status=$?
exit $((images_status || binaries_status))
