#!/usr/bin/env bash
# Tests, then images tagged with the version: VERSION of the environment, else the file VERSION. Nothing is built of what fails its tests.
#   ./scripts/build.sh        VERSION=v1.2.3 ./scripts/build.sh
# `make check` is what is run: the static checks and the quick tests. `make test` runs all, with real clusters, on these images.
set -euo pipefail
case ${1-} in
'') ;;
-h | --help) exec sed -n '2,/^[^#]/s/^# //p' "$0" ;;
*) echo "build: it takes no arguments ($*): the version goes before it, VERSION=v1.2.3 $0" >&2 && exit 2 ;;
esac
cd "$(dirname "$0")/.."
step=scripts/step.sh
images=(general-purpose-chatbot chatbot-operator anthropic-simulator)
version=${VERSION:-$(<VERSION)}

if [[ ! $version =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]]; then
    echo "build: VERSION=$version is no image tag: letters, digits, '_', '.' and '-', 128 at most" >&2
    exit 2
fi
echo "build: version $version: tests, then the images ${images[*]}"
$step "tests (make check)" make check
scripts/packages.sh images
VERSION=$version $step "images" .venv/bin/python scripts/images.py build "${images[@]}"

if timeout 20 docker info &>/dev/null; then
    for image in "${images[@]}"; do # whoever built them, and whatever was built or removed in between
        $step "into Docker: $image" docker load --quiet --input ".build/images/$image.tar"
    done
    echo "build: docker has ${images[*]/%/:$version}, each also as :latest"
else
    echo "build: .build/images has ${images[*]/%/:$version} as archives; no Docker daemon answers, so none was given them. Where one does:"
    printf 'docker load --input .build/images/%s.tar\n' "${images[@]}"
fi
