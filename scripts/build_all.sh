#!/usr/bin/env bash
# Builds the cluster's binaries and gitleaks, the images, and fetches promtool, beside each other: what `make test` runs.
# Fails when one of them failed, and takes all of them along when it is ended.
set -uo pipefail
.venv/bin/python scripts/images.py build &
images=$!
.venv/bin/python -m devcluster build --also gitleaks &
binaries=$!
scripts/promtool.sh &
promtool=$!
trap 'kill "$images" "$binaries" "$promtool" 2>/dev/null; exit 130' INT TERM
wait "$images"
images_status=$?
wait "$binaries"
binaries_status=$?
wait "$promtool"
exit $((images_status || binaries_status || $?))
