#!/bin/sh
# Makes /runtime, the root file system of the final stages: the files that Debian lists for the packages below, without
# documents, tests and character set converters; CA certificates, time zones, one user; neither a shell nor a package manager.
set -eu

packages="base-files ca-certificates libbz2-1.0 libc6 libexpat1 libffi8 libgcc-s1 liblzma5 libpython3.13-minimal
libpython3.13-stdlib libssl3t64 libstdc++6 libuuid1 libzstd1 python3.13-minimal tzdata zlib1g"
root=/runtime

# Copyright notices stay, and the package records by which vulnerability scanners know what is inside. The extension
# modules left out are those whose libraries are (curses, dbm, readline, sqlite) and CPython's own test modules.
excluded='^/(bin|sbin|dev|home|root|boot|media|mnt|opt|proc|run|srv|sys|tmp|var)(/|$)
^/usr/(sbin|games|include|local|src)(/|$)
^/etc/(ca-certificates|default|dpkg|host\.conf|issue|profile|python3\.13|update-motd)
^/usr/share/(applications|base-files|binfmts|bug|ca-certificates|common-licenses|doc|gcc|gdb|i18n|info|lintian|locale|man|pixmaps|python3)(/|$)
/(audit|engines-3|gconv|getconf|ossl-modules)(/|$)
/lib(c_malloc_debug|memusage|pcprofile|thread_db)\.so
/python3\.13/(__pycache__|ensurepip|idlelib|lib2to3|pydoc_data|sitecustomize\.py|test|tkinter|turtledemo|turtle\.py)(/|$)
/lib-dynload/(_crypt|_ctypes_test|_curses|_dbm|_gdbm|_sqlite3|_test|_xx|readline|xxlimited)'

mkdir -p "$root/etc/ssl/certs" "$root/usr/lib/ssl" "$root/usr/lib64" "$root/var/lib/dpkg/status.d"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"

for package in $packages; do
    dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$package"
    dpkg-query --listfiles "$package" >>/tmp/listed
    install -D --mode=644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done
sed 's,^/lib,/usr/lib,' /tmp/listed | grep --invert-match --extended-regexp "$excluded" | sort --unique |
    while read -r path; do
        if [ -h "$path" ] || [ -f "$path" ]; then echo ".$path"; fi
    done >/tmp/wanted
tar --create --directory=/ --no-recursion --files-from=/tmp/wanted | tar --extract --directory="$root"

# OpenSSL's default paths are links of the openssl package, which stays out: without them Python finds no CA at all.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
ln -s /etc/ssl/certs "$root/usr/lib/ssl/certs"

echo 'chatbot:x:1001:1001:chatbot:/nonexistent:/nonexistent' >"$root/etc/passwd"
echo 'chatbot:x:1001:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
mkdir "$root/dev" "$root/proc" "$root/run" "$root/sys" "$root/tmp"
chmod 1777 "$root/tmp"

sh "$(dirname "$0")/settle.sh" "$root" --moved
