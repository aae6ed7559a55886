#!/usr/bin/env bash
# packages.sh [venv] [tests] [images] [compose] [devcluster | cluster]: makes sure that the programs behind them are there, whoever packaged them.
# As root it installs the Debian packages of those that are missing; otherwise one line says what to install.
set -euo pipefail
# What is looked for, and the Debian package that has it.
images=(
    buildah:buildah
    debootstrap:debootstrap
    /etc/ssl/certs/ca-certificates.crt:ca-certificates
    /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
)
tests=(curl:curl openssl:openssl)
compose=(docker:docker.io dockerd:docker.io docker-compose:docker-compose)
devcluster=(
    /usr/lib/cni/bridge:containernetworking-plugins
    conntrack:conntrack
    containerd:containerd
    ip:iproute2
    iptables:iptables
    runc:runc
)
venv=(ensurepip:python3-venv) # no program: asked for where Python was found to lack it

# Purpose `cluster`: the devcluster's, unless KUBECONFIG or CONTEXT names another cluster, which brings its own.
existing_cluster() { [[ -n ${KUBECONFIG:-}${CONTEXT:-} && ${KUBECONFIG:-} != */chatbot-devcluster/kubeconfig ]]; }
docker_suffices() { ((EUID)) && timeout 20 docker info &>/dev/null; } # root also gets what makes a base image without a registry

wanted=()
for purpose in "$@"; do
    case $purpose in
    venv) wanted+=("${venv[@]}") ;;
    images) docker_suffices || wanted+=("${images[@]}") ;;
    cluster) existing_cluster || wanted+=("${devcluster[@]}") ;;
    devcluster) wanted+=("${devcluster[@]}") ;;
    compose) wanted+=("${compose[@]}") ;;
    tests) wanted+=("${tests[@]}") ;;
    *) echo "packages: unknown purpose $purpose" >&2 && exit 2 ;;
    esac
done
missing=()
for need in ${wanted[@]+"${wanted[@]}"}; do
    case $need in
    /*) [[ -e ${need%:*} ]] ;;
    *) command -v "${need%:*}" >/dev/null ;;
    esac || [[ " ${missing[*]-} " == *" ${need#*:} "* ]] || missing+=("${need#*:}")
done
((${#missing[@]})) || exit 0
if ((EUID)) || ! command -v apt-get >/dev/null; then
    echo "packages: missing ${missing[*]}: run: sudo apt-get install --no-install-recommends ${missing[*]} (or what your system calls them)" >&2
    exit 1
fi
echo "==> Debian packages: ${missing[*]}"
start=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT
policy=/usr/sbin/policy-rc.d
if [[ " ${missing[*]} " == *" docker.io "* && ! -e $policy ]]; then
    # A Docker daemon that Debian starts would change the machine's firewall; whoever needs one here starts one of his own.
    trap 'rm -f "$log" "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
# --no-remove: another vendor's packages, such as Docker's containerd.io, never make room for Debian's.
if ! { apt-get update && apt-get install --yes --no-remove --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 3 "$log" >&2
    echo "packages: apt-get could not install ${missing[*]}, see above: Debian's mirror must be reachable, and no other package be in the way" >&2
    exit 1
fi
echo "    Debian packages: done in $((SECONDS - start)) s"
