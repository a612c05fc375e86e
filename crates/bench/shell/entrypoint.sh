#!/usr/bin/env bash
# The pipeline that trm-directus replaces, kept for `cargo xtask bench` to measure against. No image of ours runs it.
#
# What such scripts do, done as they do it and no worse: wait for PostgreSQL, run SQL files that a ledger does not have
# yet (a psql for each question), bootstrap Directus, show and apply the snapshot, run the second SQL folder, and become
# the server. There is no lock; a file is not one transaction with its ledger row.
set -euo pipefail

export PGHOST=$DB_HOST PGPORT=$DB_PORT PGDATABASE=$DB_DATABASE PGUSER=$DB_USER PGPASSWORD=$DB_PASSWORD

say() { echo "[entrypoint.sh] $*"; }
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
      say "$name was changed after it was applied"
      exit 1
    fi
    query --file "$file"
    query --set name="$name" --set checksum="$checksum" \
      <<<"insert into public.migrations_applied (filename, checksum) values (:'name', :'checksum')"
  done
}

until query --command 'select 1' >/dev/null 2>&1; do sleep 1; done
say 'db-init'
run_folder db-init
say 'bootstrap'
node cli.js bootstrap
say 'schema'
node cli.js schema apply --dry-run snapshots/schema.yaml
node cli.js schema apply --yes snapshots/schema.yaml
say 'post-schema'
run_folder db-init/post-schema
say 'becoming the server'
exec "$@"
