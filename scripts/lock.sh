#!/usr/bin/env bash
# Compiles requirements/*.txt; dev first, the images' files constrained by it. Pinned versions stay unless UPGRADE=1.
set -euo pipefail
compile=(.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header ${UPGRADE:+--upgrade})
"${compile[@]}" {operator,service,simulator}/pyproject.toml --group pyproject.toml:dev --output-file requirements/dev.txt
for distribution in operator service simulator; do
    "${compile[@]}" --constraint requirements/dev.txt "$distribution/pyproject.toml" --output-file "requirements/$distribution.txt"
done
