#!/bin/sh
# Runs a command with a second container engine: that of this machine, with its own data, processes, mounts and network.
#
#   second.sh IMAGE... -- COMMAND [ARGUMENT...]      for example: second.sh postgres:17 -- docker swarm init
#
# `cargo xtask verify --swarm` calls this, because a swarm belongs to an engine, and the engine of a developer's machine
# is not to become part of one. The images are copied from that engine. Needs Linux, root and the engine's programs. The
# command runs in the network namespace, which has no other network, and gets the engine's address as DOCKER_HOST and
# SECOND_ENGINE. At its end the engine, its data and its namespaces are gone; if this script is killed, so is the engine,
# and the next run removes its data. Progress goes to stderr. The exit code is that of the command.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR
. "$here/lib.sh"

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
  exit 64
}

images=''
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  images="$images $1"
  shift
done
[ -n "$images" ] && [ $# -gt 1 ] || usage
shift
[ "$(id -u)" = 0 ] || die 'namespaces of mounts and the network need root'
path=$PATH:/usr/sbin:/sbin
for program in containerd dockerd ip nsenter setpriv unshare; do
  PATH=$path command -v "$program" >/dev/null || die "$program is not installed"
done

# The engine of a run that was killed takes a moment to end.
lock_folder second 60
start_isolated ''
# shellcheck disable=SC2086 # a list of names
copy_images $images
isolated env "SECOND_ENGINE=unix://$work/run/docker.sock" "$@" 9>&-
