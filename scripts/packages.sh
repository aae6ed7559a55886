#!/usr/bin/env bash
# Makes sure that the Debian packages behind the images and the devcluster are installed.
# As root it installs what is missing; otherwise one line says what to install.
set -euo pipefail
packages=(buildah ca-certificates conntrack containerd containernetworking-plugins debian-archive-keyring debootstrap iptables iproute2 runc)

if ! command -v dpkg-query >/dev/null; then
    echo "packages: this is not Debian: make sure that these are installed: ${packages[*]}" >&2
    exit 0
fi
missing=()
for package in "${packages[@]}"; do
    [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0
if ((EUID)); then
    echo "packages: missing ${missing[*]}: run: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "==> Debian packages: ${missing[*]}"
start=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 3 "$log" >&2
    echo "packages: apt-get could not install ${missing[*]}: Debian's package mirror must be reachable" >&2
    exit 1
fi
echo "    Debian packages: done in $((SECONDS - start)) s"
