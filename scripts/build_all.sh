#!/usr/bin/env bash
# Builds the cluster's binaries and the images beside each other; fails when either failed.
set -uo pipefail
.venv/bin/python scripts/images.py build &
images=$!
.venv/bin/python -m devcluster build
binaries_status=$?
wait "$images"
images_status=$?
exit $((binaries_status || images_status))
