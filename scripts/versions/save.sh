#!/usr/bin/env bash
# Saves a snapshot of the same data model with other versions of Directus: test data for an image that meets a snapshot
# of an older or a newer version.
#
# For each version: installs the real package from npm in a temporary folder, bootstraps it on a temporary PostgreSQL,
# starts it, builds the model (model.mjs) over its REST API, runs its own `schema snapshot`, and removes the folder.
#
#   save.sh VERSION...     e.g. save.sh 10.13.4 11.9.2; writes crates/acceptance/src/versions/VERSION.yaml
#
#   NODE=FILE              Node to run Directus with (default: node); Directus 11.4 and later need Node 22
#   OUT=DIR                folder for the results
#
# Needs npm, and PostgreSQL from Debian or Ubuntu (any version). If root runs the script, PostgreSQL runs as `postgres`.
# A version takes one to two minutes and 700 MB in the temporary folder.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-$here/../../crates/acceptance/src/versions}
node=$(command -v "${NODE:-node}")
pg_bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
log=''
work=''
pids=()

say() { printf '[versions] %s\n' "$*" >&2; }

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
  exit 64
}

# Stops the processes that this script started, newest first, and removes the folder.
cleanup() {
  local pid
  for pid in $(printf '%s\n' "${pids[@]}" | tac); do
    kill "$pid" 2>/dev/null || :
    wait "$pid" || :
  done
  pids=()
  [ -z "$work" ] || rm -rf "$work"
  work=''
}

on_exit() {
  if [ "$1" -ne 0 ] && [ -s "$log" ]; then tail -n 40 "$log" >&2; fi
  cleanup
}
trap 'on_exit $?' EXIT

free_port() {
  "$node" -e 'const s = net.createServer().listen(0, "127.0.0.1", () => s.close(console.log(s.address().port)))'
}

as_postgres=()
if [ "$(id -u)" = 0 ]; then as_postgres=(setpriv --reuid postgres --regid postgres --init-groups); fi

# Repeats a command until it succeeds, for up to 60 s.
wait_for() {
  local tries=120
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ]; then
      say "did not succeed within 60 s: $*"
      exit 1
    fi
    sleep 0.5
  done
}

# Two packages are replaced by empty ones. isolated-vm would have to be compiled, but only flows and sandboxed
# extensions use it. The admin app is not needed, and some registries lack the version that Directus 12.4.1 depends on.
install_directus() {
  mkdir -p empty/app empty/isolated-vm
  echo '{ "name": "@directus/app", "version": "0.0.0" }' >empty/app/package.json
  echo '{ "name": "isolated-vm", "version": "0.0.0", "main": "index.js" }' >empty/isolated-vm/package.json
  echo 'module.exports = {};' >empty/isolated-vm/index.js
  cat >package.json <<END
{
  "private": true,
  "dependencies": { "directus": "$1" },
  "overrides": { "@directus/app": "file:./empty/app", "isolated-vm": "file:./empty/isolated-vm" }
}
END
  npm install --ignore-scripts --legacy-peer-deps --no-audit --no-fund
}

start_postgres() {
  mkdir data
  if [ "$(id -u)" = 0 ]; then chown postgres: data; fi
  "${as_postgres[@]}" "$pg_bin/initdb" -D "$work/data" -U directus --auth=trust --encoding=UTF8 --locale=C
  "${as_postgres[@]}" "$pg_bin/postgres" -D "$work/data" -p "$DB_PORT" -h 127.0.0.1 -k "" \
    -c fsync=off -c timezone=UTC &
  pids+=($!)
  wait_for "$pg_bin/psql" -h 127.0.0.1 -p "$DB_PORT" -U directus -d postgres -c 'create database directus'
}

directus() { "$node" node_modules/directus/cli.js "$@"; }

save() {
  local version=$1 began=$SECONDS
  work=$(mktemp -d)
  chmod 0755 "$work"
  log=$work/log
  cd "$work"

  export DB_CLIENT=pg DB_HOST=127.0.0.1 DB_DATABASE=directus DB_USER=directus DB_PASSWORD=unused DB_PORT PORT
  export HOST=127.0.0.1 SECRET=temporary ADMIN_EMAIL=admin@example.com ADMIN_PASSWORD=temporary
  export SERVE_APP=false TELEMETRY=false LOG_LEVEL=warn TZ=UTC DIRECTUS_URL
  DB_PORT=$(free_port)
  PORT=$(free_port)
  DIRECTUS_URL=http://127.0.0.1:$PORT

  say "$version: installing"
  install_directus "$version" >>"$log" 2>&1
  start_postgres >>"$log" 2>&1
  say "$version: bootstrapping"
  directus bootstrap >>"$log" 2>&1
  "$node" node_modules/directus/cli.js start >>"$log" 2>&1 &
  pids+=($!)
  wait_for "$node" -e "fetch('$DIRECTUS_URL/server/ping').then((r) => process.exit(r.ok ? 0 : 1))"
  say "$version: building the model"
  "$node" "$here/model.mjs" >>"$log" 2>&1
  directus schema snapshot --yes snapshot.yaml >>"$log" 2>&1
  cp snapshot.yaml "$out/$version.yaml"
  say "$version: $(wc -c <snapshot.yaml) bytes, $((SECONDS - began)) s"

  cd "$here"
  cleanup
}

[ $# -gt 0 ] || usage
mkdir -p "$out"
out=$(cd "$out" && pwd)
for version in "$@"; do
  case $version in [0-9]*.[0-9]*.[0-9]*) save "$version" ;; *) usage ;; esac
done
