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
# For the engine's answer.
timeout=60

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

folder=$here/../../target/engine/$newer_release
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
make_work_dir
trap 'exit 130' INT
trap 'exit 143' TERM

# One run per folder, so that two do not share the data.
exec 9>"$folder/lock"
flock -n 9 || die "another run uses $folder"

if [ ! -x "$folder/root/usr/sbin/dockerd" ]; then
  download_newer docker.io containerd docker-cli docker-compose docker-buildx
  rm -rf "$folder/root"
  for package in "$work/archives"/*.deb; do dpkg -x "$package" "$work/root"; done
  mv "$work/root" "$folder/root"
fi

pid='' init=''
on_exit() {
  trap '' INT TERM
  # The first process of the namespace ends the engine, and with itself everything else in there.
  if [ -n "$init" ] && kill -TERM "$init" 2>/dev/null; then
    say 'ending the engine'
    waited=0
    while [ -e "/proc/$init" ] && [ "$waited" -lt 30 ]; do
      sleep 1
      waited=$((waited + 1))
    done
    kill -KILL "$init" 2>/dev/null || :
  fi
  [ -z "$pid" ] || wait "$pid" 2>/dev/null || :
  rm -rf "$folder/data" "$work"
}
trap on_exit EXIT

# The first process of the engine's namespaces. It reaps the processes that containers leave.
# shellcheck disable=SC2016 # variables of that process
engine='
  set -eu
  ip link set lo up
  containerd --address "$run/containerd.sock" --root "$data/containerd" --state "$run/containerd" &
  dockerd --config-file "$run/daemon.json" --containerd "$run/containerd.sock" --host "unix://$run/docker.sock" \
    --data-root "$data/docker" --exec-root "$run/docker" --pidfile "$run/docker.pid" &
  trap "kill -TERM $!" TERM
  wait $! || wait $!
'
rm -rf "$folder/data"
mkdir "$work/run" "$folder/data"
# Without systemd, which would look for processes by other numbers than those of the namespace. With a name server that
# refuses at once: with a silent one, this engine reports the end of a container seconds late.
cat >"$work/run/daemon.json" <<'END'
{
  "features": { "containerd-snapshotter": true },
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "dns": ["127.0.0.1"]
}
END
# Plugins of the release, and neither contexts nor builders of the user.
mkdir "$work/config"
ln -s "$folder/root/usr/libexec/docker/cli-plugins" "$work/config/cli-plugins"
path=$folder/root/usr/bin:$folder/root/usr/sbin:$PATH
# In a new session, so that Ctrl-C ends the command and not the engine that it cleans up, and dying with this script.
PATH=$path run=$work/run data=$folder/data \
  setsid setpriv --pdeathsig KILL \
  unshare --net --mount --propagation slave --pid --mount-proc --fork --kill-child=TERM \
  sh -c "$engine" >"$folder/engine.log" 2>&1 </dev/null 9>&- &
pid=$!

# Runs a command in the engine's network namespace, with the release's docker command and this engine as its own.
newer() {
  nsenter "--net=/proc/$init/ns/net" env "PATH=$path" "DOCKER_CONFIG=$work/config" \
    "DOCKER_HOST=unix://$work/run/docker.sock" "$@"
}

waited=0
until [ -n "$init" ] && version=$(newer docker version --format '{{.Server.Version}}' 2>/dev/null); do
  [ -e "/proc/$pid" ] && [ "$waited" -lt "$timeout" ] || {
    say "the engine does not answer; the last lines of $folder/engine.log:"
    tail -n 30 "$folder/engine.log" >&2
    exit 1
  }
  sleep 1
  waited=$((waited + 1))
  init=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || :)
  init=${init% }
done
say "engine $version answers, process $init, log in $folder/engine.log"
say "copying $(echo "$images" | wc -l) images"
# shellcheck disable=SC2086 # a list of names
docker save $images | newer docker load --quiet >&2
newer "$@" 9>&-
