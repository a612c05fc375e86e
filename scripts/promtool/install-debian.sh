#!/bin/sh
# Puts promtool into target/tools on Debian or Ubuntu, for the tests of the metrics and of the alert rules.
#
# `cargo xtask setup` calls this. The distribution's package `prometheus` also has a server, which starts as soon as it is
# installed. So this takes the one program out of the package, which apt verifies, and installs nothing.

set -eu

tools=$(cd "$(dirname "$0")/../.." && pwd)/target/tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# The download fails if the package lists are missing, or older than the packages of the mirror.
download() { apt-get -q -o APT::Sandbox::User=root download prometheus >&2; }
download || { apt-get update -q >&2 && download; }
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
./usr/bin/promtool --version >&2
mkdir -p "$tools"
mv usr/bin/promtool "$tools/"
