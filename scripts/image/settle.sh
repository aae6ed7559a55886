#!/bin/sh
# settle.sh TREE [--moved]: settles a tree that a final stage copies, `--moved` if TREE is what becomes `/` there: strips its libraries,
# compiles its Python files to byte-code that is valid whatever the files' times, clears set-id bits, and sets one time on everything.
set -eu

tree=$1
moved=${2:-}

find "$tree" -type f \( -name '*.so' -o -name '*.so.*' \) -exec strip --strip-unneeded {} +
PYTHONHASHSEED=0 /usr/bin/python3.13 -m compileall -q -j 0 --invalidation-mode unchecked-hash ${moved:+-s "$tree" -p /} "$tree"
find "$tree" -type f -perm /6000 -exec chmod ug-s {} +
find "$tree" -exec touch --no-dereference --date=@0 {} +
