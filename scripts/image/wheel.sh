#!/bin/sh
# wheel.sh backend LOCK: installs the build backend at the version and hash that the development lock pins.
# wheel.sh build SOURCE: builds the distribution in SOURCE into /wheels, without any index.
set -eu

PATH=/opt/build/bin:$PATH   # where the backend looks for its own program
export PIP_DISABLE_PIP_VERSION_CHECK=1

certificates=/run/secrets/ca
if [ -s "$certificates" ]; then
    export PIP_CERT="$certificates"
fi

case $1 in
backend)
    awk '/^[^ #]/ { wanted = /^uv-build==/ } wanted' "$2" >/tmp/backend.txt
    pip --quiet install --no-cache-dir --only-binary :all: --require-hashes --requirement /tmp/backend.txt
    ;;
build)
    pip --quiet wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels "$2"
    ;;
esac
