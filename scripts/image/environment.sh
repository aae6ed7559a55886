#!/bin/sh
# environment.sh REQUIREMENTS [FOLDER…]: makes /opt/chatbot, a virtual environment of the locked packages, as wheels only, without
# the given folders of packages. Its python is a link to Debian's, which the final stage has at the same path.
set -eu

requirements=$1
shift
folder=/opt/chatbot
packages=$folder/lib/python3.13/site-packages

certificates=/run/secrets/ca
if [ -s "$certificates" ]; then
    export PIP_CERT="$certificates"
fi

/usr/bin/python3.13 -m venv --without-pip "$folder"
rm -f "$folder"/bin/[Aa]ctivate*
/opt/build/bin/pip --python "$folder/bin/python" --disable-pip-version-check --quiet install --no-cache-dir --no-compile \
    --only-binary :all: --require-hashes --requirement "$requirements"

for unwanted in "$@"; do
    rm -r "${packages:?}/$unwanted"
done

# The packages' own commands, tests, stubs and C sources serve nobody here.
find "$folder/bin" -type f -delete
find "$packages" -depth -type d \( -name tests -o -name test \) -exec rm -r {} +
find "$packages" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -delete

sh "$(dirname "$0")/settle.sh" "$folder"
