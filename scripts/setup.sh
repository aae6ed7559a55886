#!/usr/bin/env bash
# Makes .venv hold exactly the locked development environment and the three distributions, editable: setup.sh PYTHON
set -euo pipefail
python=$1

die() {
    echo "setup: $*" >&2
    exit 1
}

command -v "$python" >/dev/null || die "$python not found: install Python 3.11 or newer (Debian: apt-get install python3-venv), or say make PYTHON=…"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$("$python" --version) is too old: Python 3.11 or newer is needed (make PYTHON=python3.13 names another)"

if [[ ! -x .venv/bin/python ]]; then
    "$python" -c 'import ensurepip' 2>/dev/null || scripts/packages.sh venv
    rm -rf .venv
    "$python" -m venv .venv || {
        rm -rf .venv
        die "no venv module for $python: install it (Debian: apt-get install python3-venv)"
    }
fi
uv_version=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements/dev.txt)
if [[ "$(.venv/bin/uv --version 2>/dev/null)" != "uv $uv_version"* ]]; then
    awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements/dev.txt >.venv/uv.txt # with its hashes
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/uv.txt ||
        die "uv $uv_version could not be installed: the Python package index must be reachable"
fi
export VIRTUAL_ENV="$PWD/.venv"
.venv/bin/uv pip install --quiet --compile-bytecode --require-hashes --requirement requirements/dev.txt ||
    die "the locked packages could not be installed: the Python package index must be reachable"
# Removes what is not locked, and never the distributions: commands that run from here meanwhile keep working.
printf -- '--editable ./%s\n' operator service simulator |
    .venv/bin/uv pip sync --quiet --compile-bytecode --no-build-isolation requirements/dev.txt -
