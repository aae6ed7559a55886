#!/bin/sh
# Installs what the build stages need and what runtime.sh copies from. Packages already in place are brought up to date
# first: a base image may be older than Debian's last fix.
set -eu

certificates=/run/secrets/ca
if [ -s "$certificates" ]; then
    set -- -o "Acquire::https::CAInfo=$certificates"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get "$@" -qq update
apt-get "$@" -qq upgrade --yes
apt-get "$@" -qq install --yes --no-install-recommends binutils ca-certificates python3.13-venv tzdata
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin

/usr/bin/python3.13 -m venv /opt/build
