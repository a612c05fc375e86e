#!/bin/sh
# Runs a command with a second container engine: that of a newer Debian release, with the containerd image store.
#
#   with-newer.sh [--release NAME] COMMAND [ARGUMENT...]      for example: with-newer.sh cargo xtask verify
#
# NAME is trixie by default. Needs Debian, root, and a running engine, whose base images are copied. Nothing is
# installed: the packages of engine, containerd, command line, compose and buildx are unpacked below target/engine/NAME,
# and stay there for the next run. The engine has its own data and its own namespaces of processes, mounts and the
# network; at the end all are gone. The command runs in its network namespace, which has no other network: checks reach
# containers by the engine's loopback. Progress goes to stderr. The exit code is that of the command.

set -eu

newer_release=trixie

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR
. "$here/lib.sh"

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
  exit 64
}

while [ $# -gt 0 ]; do
  case $1 in
    --release)
      [ $# -ge 2 ] || usage
      newer_release=$2
      shift 2
      ;;
    -*) usage ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || usage
case $newer_release in '' | *[!a-z]*) die "$newer_release is not the name of a release" ;; esac
command -v apt-get >/dev/null || die 'apt-get is not installed: this script is for Debian'
[ "$(id -u)" = 0 ] || die 'namespaces of mounts and the network need root'
# The base images that the checks need, as the setup finds them.
images=$(cd "$here" && { cargo xtask setup --json || :; } 2>/dev/null |
  grep -o '"name":"[^"]* image","state":"ok","found":"[^", ]*' | sed 's/.*"//' || :)
# shellcheck disable=SC2016 # the name of a command
[ -n "$images" ] || die 'the engine of this machine has no base images: `cargo xtask setup --yes` gets them'

lock_folder "$newer_release" 0
if [ ! -x "$folder/root/usr/sbin/dockerd" ]; then
  download_newer docker.io containerd docker-cli docker-compose docker-buildx
  rm -rf "$folder/root"
  for package in "$work/archives"/*.deb; do dpkg -x "$package" "$work/root"; done
  mv "$work/root" "$folder/root"
fi

# Plugins of the release, and neither contexts nor builders of the user.
mkdir "$work/config"
ln -s "$folder/root/usr/libexec/docker/cli-plugins" "$work/config/cli-plugins"
path=$folder/root/usr/bin:$folder/root/usr/sbin:$PATH
start_isolated '"features": { "containerd-snapshotter": true },'
# shellcheck disable=SC2086 # a list of names
copy_images $images
isolated env "DOCKER_CONFIG=$work/config" "$@" 9>&-
