#!/bin/bash
# Creates a cluster on the first start, then executes the server.
#
# Reads these variables of the official images: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB (each also as X_FILE),
# POSTGRES_HOST_AUTH_METHOD, POSTGRES_INITDB_ARGS and PGDATA. Runs /docker-entrypoint-initdb.d/*.{sql,sql.gz,sh}.
# A command that does not start the server is executed unchanged.
set -euo pipefail

say() { printf '[postgres] %s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# `docker run IMAGE -c shared_buffers=1GB` starts the server.
if [ "${1:-}" = '' ] || [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
[ "$1" = postgres ] || exec "$@"
for argument in "$@"; do
  case $argument in -\? | --help | --describe-config | -V | --version) exec "$@" ;; esac
done

# As root, give the directories to the server's user, since a volume may belong to root, and continue as that user.
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  # The server's user must be able to reach the data directory, and to write the marker into its parent.
  find "$PGDATA" \! -user postgres -exec chown postgres:postgres '{}' +
  if [ "$(dirname "$PGDATA")" != / ]; then chown postgres:postgres "$(dirname "$PGDATA")" 2>/dev/null || :; fi
  chmod 0700 "$PGDATA"
  # The log is stderr: a terminal or a pipe of root, which the server's user may have to open again.
  exec setpriv --reuid postgres --regid postgres --init-groups env HOME=/home/postgres "$0" "$@"
fi

# Sets a variable from the file that the variable X_FILE names.
from_file() {
  local name=$1 file_name=$1_FILE
  if [ -n "${!file_name:-}" ]; then
    [ -z "${!name:-}" ] || die "both $name and $file_name are set"
    export "$name=$(cat "${!file_name}")"
    unset "$file_name"
  fi
}

# Process 1 gets only signals that it handles: without this, a stop during the first start takes ten seconds.
trap 'exit 130' INT TERM

# Removes the remains of an interrupted first start, which its marker shows. Only this script creates the marker.
marker=$(dirname "$PGDATA")/.cluster-is-being-made
if [ -e "$marker" ]; then
  say 'the first start was interrupted: creating the cluster again'
  find "$PGDATA" -mindepth 1 -delete
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  from_file POSTGRES_USER
  from_file POSTGRES_PASSWORD
  from_file POSTGRES_DB
  user=${POSTGRES_USER:-postgres}
  database=${POSTGRES_DB:-$user}
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
    die 'the data directory is empty and POSTGRES_PASSWORD is not set: set it, or POSTGRES_HOST_AUTH_METHOD=trust'
  fi
  if [ -n "$(find "$PGDATA" -mindepth 1 -maxdepth 1 \! -name lost+found 2>/dev/null)" ]; then
    die "$PGDATA is not empty, and does not contain a cluster"
  fi
  { : >"$marker"; } 2>/dev/null || marker=''
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA"

  password_option=()
  password_file=$(mktemp)
  trap 'rm -f "$password_file"' EXIT
  if [ -n "${POSTGRES_PASSWORD:-}" ]; then
    printf '%s\n' "$POSTGRES_PASSWORD" >"$password_file"
    password_option=(--pwfile="$password_file")
  fi
  say "creating a cluster in $PGDATA"
  # Without syncing each step: `sync` below writes everything.
  # shellcheck disable=SC2086 # POSTGRES_INITDB_ARGS is a list
  initdb --pgdata="$PGDATA" --username="$user" --encoding=UTF8 --locale=C.UTF-8 --no-sync \
    --auth-local=trust --auth-host=scram-sha-256 "${password_option[@]}" ${POSTGRES_INITDB_ARGS:-} >/dev/null
  rm -f "$password_file"
  printf '\n# From anywhere, as in the official images.\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

  # A temporary server that cannot be reached from outside, without TCP.
  unset PGUSER
  options=''
  for argument in "${@:2}"; do options+=" $(printf %q "$argument")"; done
  pg_ctl --pgdata="$PGDATA" --wait --silent -o "$options -c listen_addresses=''" start >&2
  run_sql() { psql --no-psqlrc --set=ON_ERROR_STOP=1 --quiet --username="$user" --dbname="$1" "${@:2}" >&2; }
  if [ "$database" != postgres ]; then
    printf 'CREATE DATABASE :"name";\n' | run_sql postgres --set=name="$database"
  fi
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sql) say "running $file" && run_sql "$database" --file="$file" ;;
      *.sql.gz) say "running $file" && gunzip -c "$file" | run_sql "$database" ;;
      *.sh) say "running $file" && POSTGRES_USER=$user POSTGRES_DB=$database PGUSER=$user bash "$file" >&2 ;;
    esac
  done
  pg_ctl --pgdata="$PGDATA" --wait --silent --mode=fast stop >&2
  sync -f "$PGDATA"
  [ -z "$marker" ] || rm -f "$marker"
  say 'the cluster is created; starting the server'
fi

# The server does not need them, and `ps e` would show them.
unset POSTGRES_PASSWORD POSTGRES_USER
exec "$@"
