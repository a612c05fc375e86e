# The functions of install-debian.sh, with-newer.sh and second.sh: progress, packages of a newer Debian release
# (newer_release), and an engine in separate namespaces. Sourced, never run.
# shellcheck shell=sh disable=SC2154

newer_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '[engine] %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# Creates a folder that is removed at the end.
make_work_dir() {
  work=$(mktemp -d)
  log=$work/apt.log
  trap 'rm -rf "$work"' EXIT
  # apt drops to its own user to download.
  chmod 755 "$work"
}

# Runs a command quietly; its output is shown only if it fails.
quietly() {
  if ! "$@" >"$log" 2>&1 </dev/null; then
    say "failed: $*"
    tail -n 30 "$log" >&2
    exit 1
  fi
}

# Prints the URI of Debian's main archive: apt's first source of "main" without security, updates and backports.
# shellcheck disable=SC2016 # apt's own placeholders
debian_mirror() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$3 == "main" && $2 !~ /security|updates|backports/ { print $1; exit }'
}

# Runs the machine's apt-get with other sources, and without translations and other indexes.
apt_newer() {
  apt-get \
    -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/parts" \
    -o Dir::State::lists="$work/lists" -o Dir::Cache::archives="$work/archives" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

# Downloads packages of the newer release into $work/archives with apt, from package lists in a separate folder.
download_newer() {
  if [ ! -d "$work/lists" ]; then
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || die 'apt has no source of Debian'
    say "reading the package list of Debian $newer_release"
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/parts"
    printf 'deb [signed-by=%s] %s %s main\n' "$newer_keyring" "$mirror" "$newer_release" >"$work/sources.list"
    quietly apt_newer update -q
  fi
  say "fetching $* of Debian $newer_release"
  # The release after each name: apt would otherwise prefer an installed version that is newer.
  for wanted in "$@"; do
    shift
    set -- "$@" "$wanted/$newer_release"
  done
  (cd "$work/archives" && quietly apt_newer download -q "$@")
}

# Sets $folder to that of an engine below target/engine, and locks it, so that two runs do not share its data; creates the
# work folder. The second argument is the time in seconds to wait for another run.
lock_folder() {
  folder=$here/../../target/engine/$1
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
  make_work_dir
  trap 'exit 130' INT
  trap 'exit 143' TERM
  exec 9>"$folder/lock"
  flock -w "$2" 9 || die "another run uses $folder"
}

# Starts an engine in its own namespaces of processes, mounts and the network, and sets init to the first process in
# them. Its programs are those of $path, its data and log are in $folder; $work is a work folder. The argument is text
# for its settings. It inherits the lock of the folder, which is thus free only after its end. Sets the trap that ends it:
# with the first process everything else in the namespaces ends.
start_isolated() {
  isolated_pid='' init=''
  trap end_isolated EXIT
  # Of a run that was killed. Its engine has ended with it.
  rm -rf "$folder/data"
  mkdir "$work/run" "$folder/data"
  # Without systemd, which would look for processes by other numbers than those of the namespace. With a name server
  # that refuses at once: with a silent one, a newer engine reports the end of a container seconds late.
  cat >"$work/run/daemon.json" <<END
{
  $1
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "dns": ["127.0.0.1"]
}
END
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
  # In a new session, so that Ctrl-C ends the command and not the engine that it cleans up, and dying with this script.
  PATH=$path run=$work/run data=$folder/data \
    setsid setpriv --pdeathsig KILL \
    unshare --net --mount --propagation slave --pid --mount-proc --fork --kill-child=TERM \
    sh -c "$engine" >"$folder/engine.log" 2>&1 </dev/null &
  isolated_pid=$!
  waited=0
  until [ -n "$init" ] && version=$(isolated docker version --format '{{.Server.Version}}' 2>/dev/null); do
    [ -e "/proc/$isolated_pid" ] && [ "$waited" -lt 60 ] || {
      say "the engine does not answer; the last lines of $folder/engine.log:"
      tail -n 30 "$folder/engine.log" >&2
      exit 1
    }
    sleep 1
    waited=$((waited + 1))
    init=$(cat "/proc/$isolated_pid/task/$isolated_pid/children" 2>/dev/null || :)
    init=${init% }
  done
  say "engine $version answers, process $init, log in $folder/engine.log"
}

end_isolated() {
  trap '' INT TERM
  if [ -n "$init" ] && kill -TERM "$init" 2>/dev/null; then
    say 'ending the engine'
    waited=0
    while [ -e "/proc/$init" ] && [ "$waited" -lt 30 ]; do
      sleep 1
      waited=$((waited + 1))
    done
    kill -KILL "$init" 2>/dev/null || :
  fi
  [ -z "$isolated_pid" ] || wait "$isolated_pid" 2>/dev/null || :
  rm -rf "$folder/data" "$work"
}

# Runs a command in the network namespace of that engine, with the engine as its own.
isolated() {
  nsenter "--net=/proc/$init/ns/net" env "PATH=$path" "DOCKER_HOST=unix://$work/run/docker.sock" "$@"
}

# Copies images from this machine's engine to that one.
copy_images() {
  say "copying $# images"
  docker save "$@" | isolated docker load --quiet >&2
}
