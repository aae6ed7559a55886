#!/bin/sh
# Makes /application, what the wheel in /wheels adds to the environment: a layer of its own, so that a change of the source
# leaves the large ones alone. Fails if the environment lacks what the wheel requires.
set -eu

pip() { /opt/build/bin/pip --python /opt/chatbot/bin/python --disable-pip-version-check --quiet "$@"; }

pip install --no-deps --no-index --no-compile --no-warn-script-location --root /application /wheels/*.whl
cp --archive /application/. /
pip check

sh "$(dirname "$0")/settle.sh" /application --moved
