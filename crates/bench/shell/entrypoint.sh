#!/usr/bin/env bash
# The pipeline that trm-directus replaces, kept as the baseline of `cargo xtask bench`. No image of ours runs it.
#
# Typical of such scripts, and not artificially slow: it waits for PostgreSQL, runs the SQL files that are not in its ledger
# (one psql per query), bootstraps Directus, shows and applies the snapshot, runs the second SQL folder, and executes the
# server. It takes no lock, and a file and its ledger row are not one transaction.
set -euo pipefail

export PGHOST=$DB_HOST PGPORT=$DB_PORT PGDATABASE=$DB_DATABASE PGUSER=$DB_USER PGPASSWORD=$DB_PASSWORD

log() { echo "[entrypoint.sh] $*"; }
query() { psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$@"; }

run_folder() {
  local file name checksum applied
  query --command 'set client_min_messages = warning; create table if not exists public.migrations_applied (
    filename text primary key, checksum text not null, applied_at timestamptz not null default now())'
  for file in "/directus/$1"/*.sql; do
    name=$1/${file##*/}
    checksum=$(sha256sum "$file" | cut -d ' ' -f 1)
    applied=$(query --set name="$name" <<<"select checksum from public.migrations_applied where filename = :'name'")
    if [ "$applied" = "$checksum" ]; then continue; fi
    if [ -n "$applied" ]; then
      log "$name was changed after it was applied"
      exit 1
    fi
    query --file "$file"
    query --set name="$name" --set checksum="$checksum" \
      <<<"insert into public.migrations_applied (filename, checksum) values (:'name', :'checksum')"
  done
}

until query --command 'select 1' >/dev/null 2>&1; do sleep 1; done
log 'db-init'
run_folder db-init
log 'bootstrap'
node cli.js bootstrap
log 'schema'
node cli.js schema apply --dry-run snapshots/schema.yaml
node cli.js schema apply --yes snapshots/schema.yaml
log 'post-schema'
run_folder db-init/post-schema
log 'becoming the server'
exec "$@"
