#!/usr/bin/env bash
# Compiles requirements/*.txt; of the distributions dev first, the images' files constrained by it. Pinned versions stay unless UPGRADE=1.
set -euo pipefail
compile=(.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header ${UPGRADE:+--upgrade})
# Scanners are apart: what they pin holds nothing else back.
for group in scan checkov; do
    "${compile[@]}" --group "pyproject.toml:$group" --output-file "requirements/$group.txt"
done
"${compile[@]}" {operator,service,simulator}/pyproject.toml --group pyproject.toml:dev --output-file requirements/dev.txt
for distribution in operator service simulator; do
    "${compile[@]}" --constraint requirements/dev.txt "$distribution/pyproject.toml" --output-file "requirements/$distribution.txt"
done
