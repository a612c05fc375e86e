#!/bin/bash
# Makes a cluster on the first start, then becomes the server.
#
# Of the official images' environment it knows POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB (each also as X_FILE),
# POSTGRES_HOST_AUTH_METHOD, POSTGRES_INITDB_ARGS and PGDATA; and it runs /docker-entrypoint-initdb.d/*.{sql,sql.gz,sh}.
# Anything but a server command is run as it is.
set -euo pipefail

say() { printf '[postgres] %s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# `docker run IMAGE -c shared_buffers=1GB` means the server.
if [ "${1:-}" = '' ] || [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
[ "$1" = postgres ] || exec "$@"
for argument in "$@"; do
  case $argument in -\? | --help | --describe-config | -V | --version) exec "$@" ;; esac
done

# Started as root, it gives the directories to the server's user, and goes on as that. A volume may come as root's.
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  # Down to the data directory: the server's user must be able to walk there, and to write its parent's marker.
  find "$PGDATA" \! -user postgres -exec chown postgres:postgres '{}' +
  if [ "$(dirname "$PGDATA")" != / ]; then chown postgres:postgres "$(dirname "$PGDATA")" 2>/dev/null || :; fi
  chmod 0700 "$PGDATA"
  # The log is stderr: a terminal or a pipe of root's, which the server's user may have to open again.
  exec setpriv --reuid postgres --regid postgres --init-groups env HOME=/home/postgres "$0" "$@"
fi

# The value of a variable, or of the file that its twin X_FILE names.
from_file() {
  local name=$1 file_name=$1_FILE
  if [ -n "${!file_name:-}" ]; then
    [ -z "${!name:-}" ] || die "both $name and $file_name are set"
    export "$name=$(cat "${!file_name}")"
    unset "$file_name"
  fi
}

# Process 1 is sent nothing that it does not ask for: without this, a stop during the first start takes ten seconds.
trap 'exit 130' INT TERM

# Removes what an interrupted first start has left. The marker is put there and taken away by this script alone.
marker=$(dirname "$PGDATA")/.cluster-is-being-made
if [ -e "$marker" ]; then
  say 'the first start was interrupted: making the cluster anew'
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
    die 'the data directory is empty and POSTGRES_PASSWORD is not set: a cluster without a password is not made'
  fi
  if [ -n "$(find "$PGDATA" -mindepth 1 -maxdepth 1 \! -name lost+found 2>/dev/null)" ]; then
    die "$PGDATA is not empty, and no cluster either"
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
  say "making a cluster in $PGDATA"
  # Written out once, at the end.
  # shellcheck disable=SC2086 # POSTGRES_INITDB_ARGS is a list
  initdb --pgdata="$PGDATA" --username="$user" --encoding=UTF8 --locale=C.UTF-8 --no-sync \
    --auth-local=trust --auth-host=scram-sha-256 "${password_option[@]}" ${POSTGRES_INITDB_ARGS:-} >/dev/null
  rm -f "$password_file"
  printf '\n# From anywhere, as the images of PostgreSQL have it.\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

  # A server that nobody sees from outside: no TCP.
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
  say 'the cluster is made; starting the server'
fi

# Neither is of use to the server, and `ps e` shows it.
unset POSTGRES_PASSWORD POSTGRES_USER
exec "$@"
