#!/bin/sh
# Starts the container engine if none answers, and waits until it does.
#
# `cargo xtask setup` calls this. With systemd, the engine is started as its service. Without an init system (a virtual
# machine or a container), a plain dockerd is started, detached, so that it outlives the caller.
#
#   start.sh [--timeout SECONDS]
#
# Progress goes to stderr, and so do the last lines of the engine's log after a failure.

set -eu

timeout=60
log=${DOCKERD_LOG:-/var/log/dockerd.log}
run_dir=/var/run
pid_file=$run_dir/docker.pid

say() { printf '[engine] %s\n' "$*" >&2; }

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
  exit 64
}

while [ $# -gt 0 ]; do
  case $1 in
    --timeout)
      [ $# -ge 2 ] || usage
      timeout=$2
      shift 2
      ;;
    *) usage ;;
  esac
done
case $timeout in '' | *[!0-9]*) usage ;; esac

# Prints the server's version: that of the client does not prove that an engine runs.
answers() { docker version --format '{{.Server.Version}}' 2>/dev/null; }

# Succeeds if this process id is a running program of that name. A pid file from before a reboot may name any other
# process, and without an init system that reaps orphans, a dead engine keeps its id and its name as a zombie.
is_running() {
  [ -n "$1" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null || :)" = "$2" ] &&
    ! grep -q '^State:[[:space:]]*[ZX]' "/proc/$1/status" 2>/dev/null
}

# dockerd and its containerd refuse to start if the process id in a stale pid file is in use again.
remove_stale_pid_files() {
  for entry in "$pid_file:dockerd" "$run_dir/docker/containerd/containerd.pid:containerd"; do
    file=${entry%:*} program=${entry##*:}
    [ -f "$file" ] || continue
    if ! is_running "$(cat "$file" 2>/dev/null || :)" "$program"; then
      say "removing $file: no $program runs under that id"
      rm -f "$file"
    fi
  done
}

# Mounts the control groups, which usually the init system does. Existing mounts are kept.
mount_cgroups() {
  if grep -Eq '^[^ ]+ /sys/fs/cgroup[/ ]' /proc/mounts; then return 0; fi
  [ -d /sys/fs/cgroup ] || return 0
  if grep -q 'cgroup2$' /proc/filesystems; then
    say 'mounting control groups (version 2)'
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    return 0
  fi
  say 'mounting control groups (version 1)'
  mount -t tmpfs -o uid=0,gid=0,mode=0755 cgroup /sys/fs/cgroup
  awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups | while read -r controller; do
    mkdir -p "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" || rmdir "/sys/fs/cgroup/$controller"
  done
}

# Chooses an iptables that works: the distribution's front end for nftables does not on a kernel without nf_tables.
choose_iptables() {
  command -v iptables >/dev/null || return 0
  if iptables -t nat -L -n >/dev/null 2>&1; then return 0; fi
  if command -v iptables-legacy >/dev/null && iptables-legacy -t nat -L -n >/dev/null 2>&1; then
    say 'this kernel has no nf_tables: choosing iptables-legacy'
    update-alternatives --set iptables "$(command -v iptables-legacy)" >/dev/null
    if command -v ip6tables-legacy >/dev/null; then
      update-alternatives --set ip6tables "$(command -v ip6tables-legacy)" >/dev/null
    fi
  fi
}

start_plain() {
  mount_cgroups
  choose_iptables
  remove_stale_pid_files
  mkdir -p "$(dirname "$log")"
  printf -- '--- %s: started by %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$0" >>"$log"
  # Each container inherits this limit.
  # shellcheck disable=SC3045 # not POSIX, but dash and bash have it
  ulimit -n "$(ulimit -H -n)" 2>/dev/null || :
  # In a new session, without a terminal and the caller's descriptors, so that it neither ends with the caller nor keeps
  # a pipe of the caller open.
  (
    cd /
    exec setsid dockerd --pidfile "$pid_file" >>"$log" 2>&1 </dev/null
  ) &
  started_pid=$!
  say "started dockerd as $started_pid, log in $log"
}

fail() {
  say "$1"
  if [ -n "${started_by_systemd:-}" ]; then
    journalctl -u docker --no-pager -n 30 >&2 || :
  elif [ -f "$log" ]; then
    say "the last lines of $log:"
    # Without the messages between the engine and its containerd.
    grep -v -e '\[core\]' -e 'module=grpc' "$log" | tail -n 30 >&2
  fi
  exit 1
}

if version=$(answers) && [ -n "$version" ]; then
  say "engine $version answers already"
  exit 0
fi

command -v docker >/dev/null || { say 'docker is not installed: install the engine first'; exit 1; }
if [ -n "${DOCKER_HOST:-}" ] && [ "$DOCKER_HOST" != unix:///var/run/docker.sock ]; then
  say "DOCKER_HOST is $DOCKER_HOST, which does not answer, and this script cannot start that engine"
  exit 1
fi
[ "$(id -u)" = 0 ] || { say 'starting the engine needs root'; exit 1; }
command -v dockerd >/dev/null || { say 'dockerd is not installed: install the engine first'; exit 1; }

# One start at a time, so that two callers do not start two engines.
started_pid='' started_by_systemd=''
exec 9>/run/trm-engine-start.lock
flock -w "$timeout" 9 || { say "another start.sh has not ended within $timeout s"; exit 1; }

if version=$(answers) && [ -n "$version" ]; then
  say "engine $version answers"
  exit 0
elif [ -f "$pid_file" ] && is_running "$(cat "$pid_file")" dockerd; then
  say "dockerd runs as $(cat "$pid_file") and does not answer yet"
elif [ "$(cat /proc/1/comm)" = systemd ]; then
  say 'starting the docker service'
  started_by_systemd=yes
  systemctl start docker || fail 'systemd could not start the docker service'
else
  start_plain 9>&-
fi

waited=0
while ! { version=$(answers) && [ -n "$version" ]; }; do
  # Either process id, since setsid may have forked.
  if [ -n "$started_pid" ] && [ "$waited" -gt 0 ] && ! is_running "$started_pid" dockerd &&
    ! is_running "$(cat "$pid_file" 2>/dev/null || :)" dockerd; then
    fail 'dockerd exited'
  fi
  [ "$waited" -lt "$timeout" ] || fail "the engine did not answer within $timeout s"
  sleep 1
  waited=$((waited + 1))
done
say "engine $version answers after $waited s"
