# The functions of install-debian.sh and with-newer.sh: progress, and packages of a newer Debian release. Sourced, never
# run. Both set newer_release.
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
