#!/bin/sh
# Installs a container engine and its command line plugins on Debian or Ubuntu, from the distribution's own packages.
#
# `cargo xtask setup` calls this. A plugin that this release lacks, or has in too old a version, comes from a newer
# Debian release, from the mirror of the machine's apt and verified by apt's signatures; the machine's own sources stay
# unchanged. Installed programs are kept, so a second run changes nothing.
#
#   install-debian.sh [--engine] [--compose] [--buildx]      without a flag: all three
#
# It does not start the engine; start.sh does. Progress goes to stderr.

set -eu

# The versions that this project needs: `docker compose` as a plugin; buildx with --progress=plain, secrets and labels.
need_compose=2.0
need_buildx=0.13
# The Debian release that has both plugins, which depend on libc6 >= 2.34 alone.
newer_release=trixie

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
  exit 64
}

engine='' compose='' buildx=''
[ $# -gt 0 ] || engine=1 compose=1 buildx=1
while [ $# -gt 0 ]; do
  case $1 in
    --engine) engine=1 ;;
    --compose) compose=1 ;;
    --buildx) buildx=1 ;;
    *) usage ;;
  esac
  shift
done

command -v apt-get >/dev/null || die 'apt-get is not installed: this script is for Debian and Ubuntu'
[ "$(id -u)" = 0 ] || die 'installing packages needs root'

export DEBIAN_FRONTEND=noninteractive
make_work_dir

at_least() { dpkg --compare-versions "${1:-0}" ge "$2"; }

# Updates apt's package lists, once per run, and only before an installation.
updated=''
update_lists() {
  [ -z "$updated" ] || return 0
  say 'reading the package lists'
  quietly apt-get update -q
  updated=1
}

install_packages() {
  say "installing $*"
  quietly apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
}

# Prints the version of a package that apt would install from the machine's own sources, or nothing.
candidate() {
  apt-cache policy "$1" 2>/dev/null | awk '/^  Candidate:/ && $2 != "(none)" { print $2 }'
}

install_engine() {
  if command -v dockerd >/dev/null && command -v docker >/dev/null; then
    say 'the engine is installed already'
    return 0
  fi
  update_lists
  [ -n "$(candidate docker.io)" ] || die 'this distribution has no package docker.io'
  packages='docker.io iptables'
  # Newer releases have the command line in a separate package.
  if ! command -v docker >/dev/null && [ -n "$(candidate docker-cli)" ]; then packages="$packages docker-cli"; fi
  # shellcheck disable=SC2086 # a list of packages
  install_packages $packages
}

# Print the version of a plugin that the docker command finds, or nothing.
compose_version() { docker compose version --short 2>/dev/null | sed 's/^v//; s/[+-].*//' || :; }
buildx_version() { docker buildx version 2>/dev/null | awk '{ sub(/^v/, "", $2); sub(/[+-].*/, "", $2); print $2 }' || :; }

# Downloads a package of the newer release with apt, and installs that file.
install_from_newer_release() {
  # shellcheck source=/dev/null
  [ "$(. /etc/os-release && echo "$ID")" = debian ] || die "$1 is not in this distribution, or too old"
  [ -f "$newer_keyring" ] || install_packages debian-archive-keyring
  download_newer "$1"
  # With dpkg, since apt would also resolve its recommendations, among them the newer engine.
  quietly dpkg -i "$work/archives/$1"_*.deb
}

# install_plugin NAME VERSION PACKAGE...: installs the first package that is new enough, else that of the newer release.
install_plugin() {
  name=$1 needed=$2
  shift 2
  have=$("${name}_version")
  if at_least "$have" "$needed"; then
    say "docker $name $have is installed already"
    return 0
  fi
  command -v docker >/dev/null || die "docker $name needs the docker command: install the engine first"
  update_lists
  for package in "$@"; do
    version=$(candidate "$package")
    if at_least "${version#*:}" "$needed"; then
      install_packages "$package"
      break
    fi
    package=''
  done
  [ -n "$package" ] || install_from_newer_release "docker-$name"
  have=$("${name}_version")
  at_least "$have" "$needed" || die "docker $name is ${have:-not found} after the installation, $needed is needed"
  say "docker $name $have"
}

[ -z "$engine" ] || install_engine
# Up to release 12, Debian's docker-compose is version 1, the Python program.
[ -z "$compose" ] || install_plugin compose "$need_compose" docker-compose-v2 docker-compose
[ -z "$buildx" ] || install_plugin buildx "$need_buildx" docker-buildx
