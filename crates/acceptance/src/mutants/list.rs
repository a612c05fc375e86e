//! The mutants of every check, in the order of the acceptance list. Mutants that fail early are preferred.

use super::mutant::Mutant;
use super::mutant::Mutation::{Binary, Image, Sql};

/// A boot binary that always exits with 0.
const ALWAYS_SUCCEEDS: &str = r#""$real" "$@"; exit 0"#;
/// A server that leaves the refusal of an edit of the data model to PostgreSQL.
const OPEN_DATA_MODEL: &str = r#"RUN sed -i "s/=== 'read-only'/=== 'never'/" /directus/scripts/server.mjs \
&& grep -q never /directus/scripts/server.mjs"#;
/// A health check that asks the database, whichever probe it is asked for.
const ALWAYS_READY: &str = r#"RUN mv /usr/local/bin/entrypoint /usr/local/bin/entrypoint.real && \
printf '#!/bin/sh\n[ "$1" != healthcheck ] || set -- healthcheck ready\nexec /usr/local/bin/entrypoint.real "$@"\n' \
> /usr/local/bin/entrypoint && chmod 0755 /usr/local/bin/entrypoint"#;
/// A boot binary that is not the first process; its shell does not forward signals.
const DROPS_SIGNALS: &str = r#"export BOOT_DATABASE_TIMEOUT=8; "$real" "$@"; exit $?"#;
/// Hides the locks of Directus' transactions, so that the witness compares the catalog with itself.
const BLIND_WITNESS: &str = r#"RUN sed -i "s#return open().query(sql);#\
const rows = await open().query(sql); \
const unseen = /pg_current_xact_id_if_assigned/.test(sql) ? [[null, '', '', '']] : rows; \
return unseen;#" /directus/scripts/bridge.mjs && grep -q 'return unseen' /directus/scripts/bridge.mjs"#;
/// Commits in Directus' process when the boot requests a rollback.
const COMMITS_ROLLBACKS: &str =
    r#"RUN sed -i "s/ended((open) => open.rollback())/ended((open) => open.commit())/" /directus/scripts/bridge.mjs"#;

/// Deletes rows during the schema apply, and hides its locks.
const UNSEEN_LOSS: &str = r#"RUN sed -i "s#return open().query(sql);#\
const rows = await open().query(sql); \
const unseen = /pg_current_xact_id_if_assigned/.test(sql) ? [[null, '', '', '']] : rows; \
return unseen;#" /directus/scripts/bridge.mjs && \
sed -i "s#await work.remove();#await work.remove(); await knex.raw('delete from public.readings');#" /directus/scripts/apply.mjs && \
grep -q 'return unseen' /directus/scripts/bridge.mjs && grep -q 'public.readings' /directus/scripts/apply.mjs"#;

pub(super) const MUTANTS: &[Mutant] = &[
    // image.rs
    Mutant {
        check: "size",
        how: "6 MB more",
        change: Image("RUN head -c 6000000 /dev/urandom > /directus/padding"),
        expect: "over the limit of 5.0 MB",
    },
    Mutant {
        check: "user",
        how: "runs as root",
        change: Image("USER root"),
        expect: "the image's user is node: \"root\" instead of \"node\"",
    },
    Mutant {
        check: "user",
        how: "the SQL can be rewritten",
        change: Image("RUN chmod 0777 /directus/db-init"),
        expect: "/directus/db-init belongs to root, readable and not writable: /directus/db-init 0:0 0777",
    },
    Mutant {
        check: "user",
        how: "a setuid program",
        change: Image("RUN cp /bin/cat /usr/local/bin/raised && chmod 4755 /usr/local/bin/raised"),
        expect: "is added: /usr/local/bin/raised 0:0 4755",
    },
    Mutant {
        check: "pin",
        how: "built on `latest`",
        change: Image(r#"LABEL org.opencontainers.image.base.name="directus/directus:latest""#),
        expect: "is not pinned",
    },
    Mutant {
        check: "pin",
        how: "built on another version than the Dockerfile's",
        change: Image(r#"LABEL org.opencontainers.image.base.name="directus/directus:11.5.1""#),
        expect: "the base is directus/directus:11.5.1, but the Dockerfile pins",
    },
    Mutant {
        check: "pin",
        how: "a snapshot of another version",
        change: Image(r#"RUN sed -i "s/^directus: .*/directus: 11.5.1/" /directus/snapshots/schema.yaml"#),
        expect: "the snapshot is of Directus 11.5.1",
    },
    Mutant {
        check: "advisories",
        how: "public WebSockets are not refused",
        change: Binary("unset WEBSOCKETS_REST_AUTH; exec \"$real\" \"$@\""),
        expect: "a boot with WEBSOCKETS_REST_AUTH=public does not name CVE-2026-126539",
    },
    Mutant {
        check: "advisories",
        how: "a base that was not reviewed",
        change: Image(r#"LABEL org.opencontainers.image.base.name="directus/directus:11.18.0""#),
        expect: "the base is 11.18.0",
    },
    Mutant {
        check: "upstream",
        how: "an additional line in a file of Directus",
        change: Image(r#"RUN echo "//" >> /directus/package.json"#),
        expect: "upstream's, but changed: /directus/package.json: different content",
    },
    Mutant {
        check: "upstream",
        how: "a file of Directus that node may write",
        change: Image("RUN chmod 0666 /directus/package.json"),
        expect: "/directus/package.json: mode 0666 instead of",
    },
    Mutant {
        check: "compiled",
        how: "a bundle that changed after its compilation",
        change: Image("RUN echo '//' >> /directus/bundle/server.js"),
        expect: "1 modules are not compiled or have changed since: reading cache",
    },
    Mutant {
        check: "no-shell-script",
        how: "a shell script replaces the boot binary",
        change: Binary(r#"exec "$real" "$@""#),
        expect: "shell scripts are added: /usr/local/bin/entrypoint",
    },
    Mutant {
        check: "no-shell-script",
        how: "a dynamically linked boot binary",
        change: Image(r#"RUN cp "$(readlink -f "$(command -v cat)")" /usr/local/bin/entrypoint"#),
        expect: "is dynamically linked",
    },
    Mutant {
        check: "no-secret-in-image",
        how: "a password in a variable of the image",
        change: Image("ENV SMTP_PASSWORD=hunter2"),
        expect: "variables: SMTP_PASSWORD has a value",
    },
    Mutant {
        check: "no-secret-in-image",
        how: "a private key that a later layer removes",
        change: Image(
            "RUN printf '%s KEY-----\\n' '-----BEGIN PRIVATE' > /directus/key && \
             head -c 600 /dev/urandom | base64 >> /directus/key\nRUN rm /directus/key",
        ),
        expect: "/directus/key: it holds a private key",
    },
    Mutant {
        check: "no-secret-in-image",
        how: "a token in the history of the image",
        change: Image("RUN NPM_TOKEN=hunter2 true"),
        expect: "history: NPM_TOKEN is given a value",
    },
    Mutant {
        check: "reproducible",
        how: "a file with the time of the build",
        change: Image("RUN touch /directus/scripts/bridge.mjs"),
        expect: "the second build differs: /directus/scripts/bridge.mjs: changed at 1",
    },
    Mutant {
        check: "sbom",
        how: "a package that the server loads does not name its version",
        change: Image(
            r#"RUN sed -i '/"version"/d' /directus/node_modules/.pnpm/argon2@*/node_modules/argon2/package.json"#,
        ),
        expect: "loaded, but without an entry: /directus/node_modules/.pnpm/argon2@",
    },
    Mutant {
        check: "sbom",
        how: "a boot binary without the list of its crates",
        change: Image(r"RUN sed -i 's/\.dep-v0/.xxx-v0/' /usr/local/bin/entrypoint"),
        expect: "the binary contains no list of crates",
    },
    Mutant {
        check: "command",
        how: "every command boots",
        change: Binary(r#"exec "$real" boot"#),
        expect: "`id` ended with 10",
    },
    Mutant {
        check: "command",
        how: "exit codes are lost",
        change: Binary(ALWAYS_SUCCEEDS),
        expect: "`no-such-command` ended with 0, not 127",
    },
    // boots.rs
    Mutant {
        check: "fresh-boot",
        how: "a migration fails",
        change: Image("RUN echo 'select 1 / 0;' >> /directus/db-init/001_extensions.sql"),
        expect: "ended with 31",
    },
    Mutant {
        check: "fresh-boot",
        how: "a snapshot with one character less per column",
        change: Image(r#"RUN sed -i "s/max_length: 255/max_length: 254/" /directus/snapshots/schema.yaml"#),
        expect: "max length is 254, not 255",
    },
    Mutant {
        check: "warm-boot",
        how: "the ledger loses a migration",
        change: Sql("delete from boot.migrations where phase = 'db-init'
                 and filename = (select max(filename) from boot.migrations where phase = 'db-init')"),
        expect: "db-init reported `1 applied, ",
    },
    Mutant {
        check: "read-only-root",
        how: "the boot writes into /directus",
        change: Binary(r#"touch /directus/marker || exit 1; exec "$real" "$@""#),
        expect: "Read-only file system",
    },
    Mutant {
        check: "extension",
        how: "Directus loads extensions from another folder",
        change: Image("ENV EXTENSIONS_PATH=/tmp/extensions"),
        expect: "the log has no `Loaded extensions",
    },
    Mutant {
        check: "extension",
        how: "the bundler of the app's extensions is missing",
        change: Image("RUN rm -r /directus/node_modules/.pnpm/rollup@*"),
        expect: "without trm-verify-display",
    },
    // data.rs
    Mutant {
        check: "restart-keeps-rows",
        how: "every boot empties a table",
        change: Sql("do 'begin execute (select format(''truncate %I cascade'', relname) from pg_class
                 where relnamespace = ''public''::regnamespace and relkind = ''r'' and relname not like ''directus%''
                 order by relname limit 1); end'"),
        expect: "rows and has 0",
    },
    Mutant {
        check: "stale-snapshot",
        how: "every plan is allowed",
        change: Binary(
            r#"case "$1" in boot) ;; *) exec "$real" "$@";; esac
            output=$("$real" "$@"); code=$?; echo "$output"
            digest=$(echo "$output" | sed -n "s/.*SCHEMA_ALLOW_DESTRUCTIVE=\([0-9a-f]*\).*/\1/p")
            [ -n "$digest" ] || exit $code
            SCHEMA_ALLOW_DESTRUCTIVE=$digest exec "$real" "$@""#,
        ),
        expect: "the stale snapshot ended with 0",
    },
    Mutant {
        check: "ten-boots",
        how: "a boot that reports success and empties a table",
        change: Binary(r#"sql "truncate team_spreadsheet"; echo "[entrypoint] 6/8 schema: no changes (1 ms)""#),
        expect: "team_spreadsheet had 7 rows and has 0",
    },
    // roles.rs
    Mutant {
        check: "two-roles",
        how: "the server gets the role of the boot",
        change: Binary(
            r#"if [ -n "$BOOT_DB_USER" ]; then
                export DB_USER="$BOOT_DB_USER" DB_PASSWORD="$BOOT_DB_PASSWORD"
                unset BOOT_DB_USER BOOT_DB_PASSWORD
            fi
            exec "$real" "$@""#,
        ),
        expect: "the log has no `got its privileges`",
    },
    Mutant {
        check: "two-roles",
        how: "PostgreSQL alone refuses changes of the data model",
        change: Image(OPEN_DATA_MODEL),
        expect: "POST /collections answers",
    },
    Mutant {
        check: "two-roles",
        how: "`status` is silent about grants by hand",
        change: Binary(
            r#"[ "$1" = status ] || exec "$real" "$@"; "$real" "$@" | sed 's/"separate":false/"separate":true/'"#,
        ),
        expect: "`status` misses CREATE on the schema",
    },
    Mutant {
        check: "two-roles-admin-ui",
        how: "PostgreSQL alone refuses changes of the data model",
        change: Image(OPEN_DATA_MODEL),
        expect: "no effect of a click on the entry to hide or show the field",
    },
    // reconcile.rs
    Mutant {
        check: "no-node",
        how: "a pending migration",
        change: Image("ENV BOOT_LOCK_TIMEOUT=3\nRUN echo 'select 1;' > /directus/db-init/899_more.sql"),
        expect: "the boot ended with 22",
    },
    Mutant {
        check: "live-edits",
        how: "snapshots without fingerprints",
        change: Sql("update boot.snapshots set fingerprint = null"),
        expect: "before any edit the schema is reported as applied, and edited since",
    },
    Mutant {
        check: "plan",
        how: "plan creates a table",
        change: Binary(
            r#"case "$1" in plan) sql "create table if not exists public.seen (at timestamptz)";; esac; exec "$real" "$@""#,
        ),
        expect: "plan has changed an empty database",
    },
    Mutant {
        check: "older-image",
        how: "the snapshot history is deleted",
        change: Sql("delete from boot.snapshots where image not like '2.0%' and image not like '3.0%'"),
        expect: "ended with 45",
    },
    // snapshots.rs
    Mutant {
        check: "edits-are-edits",
        how: "the plan deletes edited collections",
        change: Image(
            r#"RUN sed -i "s/\[{ collection, diff, have, want }\]/[{ collection, diff: [{ kind: 'D' }], have, want }]/" /directus/scripts/compare.mjs"#,
        ),
        expect: "live edits ended with 43",
    },
    Mutant {
        check: "edits-are-edits",
        how: "every boot empties a column",
        change: Sql("update laps set note = null"),
        expect: "rows of laps have changed",
    },
    Mutant {
        check: "sound-snapshots",
        how: "the envelope of the REST API is not unwrapped",
        change: Image(
            r#"RUN sed -i "s/return isEnvelope ? document.data : document/return document/" /directus/scripts/snapshot.mjs"#,
        ),
        expect: "envelope ended with 41",
    },
    Mutant {
        check: "sound-snapshots",
        how: "the mode `skip` is ignored",
        change: Binary(r#"unset SCHEMA_APPLY_MODE; exec "$real" "$@""#),
        expect: "skip with an unreadable snapshot ended with 41",
    },
    Mutant {
        check: "adopted-table",
        how: "SQL files are not run",
        change: Binary(r#"[ "$1" = boot ] && export BOOT_DB_INIT_DIR=/directus/db-init; exec "$real" "$@""#),
        expect: "the field weather.station does not exist",
    },
    // versions.rs
    Mutant {
        check: "versions",
        how: "keys of another version are not omitted",
        change: Image(
            r#"RUN sed -i "s/if (column === undefined || column.alias) warnings.unknownKey(entity, key, place);/if (false) return;/" /directus/scripts/compare.mjs"#,
        ),
        expect: "12.4.1 ended with",
    },
    Mutant {
        check: "versions-with-rows",
        how: "every boot empties a table",
        change: Sql("delete from articles_topics"),
        expect: "articles_topics",
    },
    // restore.rs
    Mutant {
        check: "restored-dump",
        how: "every boot empties a table",
        change: Sql("delete from visits"),
        expect: "visits had 5 rows and has 0",
    },
    Mutant {
        check: "restored-dump",
        how: "the ledger loses a migration",
        change: Sql("delete from boot.migrations where filename = '001_sponsors.sql'"),
        expect: "the first boot on the restored database",
    },
    // witness.rs
    Mutant {
        check: "undeclared-loss",
        how: "the boot adds directives to files",
        change: Binary(
            r#"case "$1" in boot) ;; *) exec "$real" "$@";; esac
            cp -r "$BOOT_DB_INIT_DIR" /tmp/declared
            for file in /tmp/declared/*_loss.sql; do
                [ ! -f "$file" ] || sed -i '1i -- destroys: table sponsors, rows of visits' "$file"
            done
            BOOT_DB_INIT_DIR=/tmp/declared exec "$real" "$@""#,
        ),
        expect: "the exit code is 0, not 43",
    },
    Mutant {
        check: "undeclared-loss",
        how: "a refused boot deletes rows",
        change: Sql("delete from visits"),
        expect: "refused, but pg_dump differs",
    },
    Mutant {
        check: "rolled-back-apply",
        how: "the witness ignores Directus' transactions",
        change: Image(BLIND_WITNESS),
        expect: "table visits with 5 rows is gone",
    },
    Mutant {
        check: "rolled-back-apply",
        how: "Directus' process commits when the boot rolls back",
        change: Image(COMMITS_ROLLBACKS),
        expect: "table visits with 5 rows is gone",
    },
    Mutant {
        check: "rolled-back-apply",
        how: "no digest allows a loss",
        change: Binary(r#"unset SCHEMA_ALLOW_DESTRUCTIVE; exec "$real" "$@""#),
        expect: ", the losses ended with 43",
    },
    Mutant {
        check: "lock-is-kept",
        how: "a boot terminates the sessions of the previous boot",
        change: Sql("select pg_terminate_backend(pid) from pg_stat_activity \
             where datname = current_database() and application_name like 'boot of %'"),
        expect: "a second boot: the exit code is 0, not 22",
    },
    Mutant {
        check: "rehearse",
        how: "plan waits for a lock that excludes readers",
        change: Binary(
            r#"case "$1 $2" in "plan --json") sql "begin; lock table laps in access exclusive mode; commit";; esac
            exec "$real" "$@""#,
        ),
        expect: "plan waits for a reader's transaction",
    },
    Mutant {
        check: "rehearse",
        how: "Directus' process commits when the boot rolls back",
        change: Image(COMMITS_ROLLBACKS),
        expect: "the rehearsal has changed the database",
    },
    Mutant {
        check: "rehearse",
        how: "the time limit is ignored",
        change: Binary(r#"[ "$4" != 3 ] || set -- plan --rehearse --timeout 30; exec "$real" "$@""#),
        expect: "with --timeout 3 the rehearsal took",
    },
    // objects.rs
    Mutant {
        check: "sql-objects",
        how: "the record of the objects is lost",
        change: Sql("delete from boot.owned"),
        expect: "0 of 4 differences are reported",
    },
    Mutant {
        check: "unloaded-extension",
        how: "the record of the extensions is lost",
        change: Sql("delete from boot.owned where kind = 'extension'"),
        expect: "the log has no `the server no longer loads the extension pg_stat_statements",
    },
    // documents.rs
    Mutant {
        check: "documented-objects",
        how: "a boot records no constraints",
        change: Sql("delete from boot.owned where kind = 'constraint'"),
        expect: "is documented and not in the database",
    },
    // attic.rs
    Mutant {
        check: "attic",
        how: "`attic restore` restores nothing",
        change: Binary(r#"case "$1 $2" in "attic restore") exit 0;; esac; exec "$real" "$@""#),
        expect: "the table laps was not restored",
    },
    Mutant {
        check: "attic",
        how: "the retention is always thirty days",
        change: Binary(r#"BOOT_ATTIC_DAYS=30 exec "$real" "$@""#),
        expect: "BOOT_ATTIC_DAYS=0, and the attic still holds",
    },
    // replicas.rs
    Mutant {
        check: "twenty-at-once",
        how: "every boot except the first gives up",
        change: Binary(r#"sql "create table public.first (id integer)" || exit 22; exec "$real" "$@""#),
        expect: "ended with 22",
    },
    Mutant {
        check: "five-at-once",
        how: "every boot except the first gives up",
        change: Binary(r#"sql "create table public.first (id integer)" || exit 22; exec "$real" "$@""#),
        expect: "ended with 22",
    },
    // rolling.rs
    Mutant {
        check: "side-by-side",
        how: "servers hold no lock",
        change: Image("RUN sed -i '/showPresence(JSON/d' /directus/scripts/server.mjs"),
        expect: "does not hold the lock of a server",
    },
    Mutant {
        check: "side-by-side",
        how: "nothing waits",
        change: Image(r#"RUN sed -i "s/!skip.includes(index)/true/" /directus/scripts/bridge.mjs"#),
        expect: "ended with 43",
    },
    Mutant {
        check: "side-by-side",
        how: "servers do not learn of a changed schema",
        change: Image("RUN sed -i '/query(`listen/d' /directus/scripts/presence.mjs"),
        expect: "the newer server, after contract",
    },
    // stack.rs
    Mutant {
        check: "dev-reset",
        how: "the image does not boot",
        change: Image("RUN echo 'select 1 / 0;' >> /directus/db-init/001_extensions.sql"),
        expect: "division by zero",
    },
    // browser.rs
    Mutant {
        check: "admin-ui",
        how: "the admin UI is not served",
        change: Image("ENV SERVE_APP=false"),
        expect: "no login form within",
    },
    // registration
    Mutant {
        check: "registration",
        how: "the form of an entry lacks the crew",
        change: Image(
            r"RUN sed -i '/^    field: crew$/,/^    schema:/s/hidden: false/hidden: true/' /directus/snapshots/schema.yaml",
        ),
        expect: "no crew in the form within",
    },
    // faults.rs
    Mutant {
        check: "killed-in-db-init",
        how: "every failure exits with 0",
        change: Binary(ALWAYS_SUCCEEDS),
        expect: "the exit code is 0, not 23",
    },
    Mutant {
        check: "killed-in-bootstrap",
        how: "every failure exits with 0",
        change: Binary(ALWAYS_SUCCEEDS),
        expect: "the exit code is 0, not 23",
    },
    Mutant {
        check: "killed-in-schema",
        how: "every failure exits with 0",
        change: Binary(ALWAYS_SUCCEEDS),
        expect: "the exit code is 0, not 23",
    },
    Mutant {
        check: "killed-in-post-schema",
        how: "every failure exits with 0",
        change: Binary(ALWAYS_SUCCEEDS),
        expect: "the exit code is 0, not 23",
    },
    Mutant {
        check: "frozen",
        how: "the timeout is ignored",
        change: Binary(r#"BOOT_DATABASE_TIMEOUT=7 exec "$real" "$@""#),
        expect: "the last line does not contain `within 3 s`",
    },
    Mutant {
        check: "silent-network",
        how: "PostgreSQL never looks for a client that vanished",
        change: Binary(
            r#"export PGOPTIONS="$PGOPTIONS -c tcp_keepalives_idle=7200 -c tcp_user_timeout=0 -c client_connection_check_interval=0" BOOT_LOCK_TIMEOUT=20; exec "$real" "$@""#,
        ),
        expect: "another boot is still working on this database after 20 s",
    },
    Mutant {
        check: "silent-network",
        how: "the deadline is ignored",
        change: Binary(r#"BOOT_DATABASE_TIMEOUT=7 exec "$real" "$@""#),
        expect: "the last line does not contain `within 3 s`",
    },
    Mutant {
        check: "late-database",
        how: "the boot gives up after one second",
        change: Binary(r#"BOOT_DATABASE_TIMEOUT=1 exec "$real" "$@""#),
        expect: "the boot ended with 20",
    },
    // sweep.rs
    Mutant {
        check: "sweep",
        how: "every failure exits with 0",
        change: Binary(ALWAYS_SUCCEEDS),
        expect: "it ended with 0, but the database is incomplete",
    },
    Mutant {
        check: "sweep",
        how: "a boot does not continue after a failed one",
        change: Binary(r#"sql "create table public.first (id integer)" || exit 22; exec "$real" "$@""#),
        expect: "the next boot: it ended with 22",
    },
    // search.rs
    Mutant {
        check: "search",
        how: "the schema apply empties a table, and the witness ignores it",
        change: Image(UNSEEN_LOSS),
        expect: "lost: 6 rows of readings",
    },
    Mutant {
        check: "search",
        how: "every failure exits with 0",
        change: Binary(ALWAYS_SUCCEEDS),
        expect: "exit code 0, but a phase failed",
    },
    // signals.rs
    Mutant {
        check: "sigterm-in-each-phase",
        how: "the first process is a shell that does not forward signals",
        change: Binary(DROPS_SIGNALS),
        expect: "the exit code is 20, not 143",
    },
    Mutant {
        check: "sigterm-while-serving",
        how: "the first process is a shell that does not forward signals",
        change: Binary(DROPS_SIGNALS),
        expect: "the log has no `Shutting down`",
    },
    // locks.rs
    Mutant {
        check: "locked-schema",
        how: "every failure exits with 0",
        change: Binary(ALWAYS_SUCCEEDS),
        expect: "the exit code is 0, not 32",
    },
    Mutant {
        check: "locked-schema",
        how: "the number of tries is ignored",
        change: Binary(r#"MIGRATION_LOCK_TRIES=1 exec "$real" "$@""#),
        expect: "does not contain `no lock within 1 s, 2 times`",
    },
    // boots.rs
    Mutant {
        check: "arbitrary-user",
        how: "pm2 has no writable folder",
        change: Binary(r#"TMPDIR=/nowhere exec "$real" "$@""#),
        expect: "pm2 cannot write to",
    },
    // connections.rs
    Mutant {
        check: "connections",
        how: "Node makes no connection for the boot",
        change: Image("RUN rm /directus/scripts/tunnel.mjs"),
        expect: "common-name, ca trusted: Directus: connected",
    },
    Mutant {
        check: "connections",
        how: "the boot does not verify certificates",
        change: Binary(
            r#"[ -z "$DB_SSL__CA" ] || { unset DB_SSL__CA; export DB_SSL__REJECT_UNAUTHORIZED=false; }
            exec "$real" "$@""#,
        ),
        expect: "other-name, ca trusted: Directus: ERR_TLS_CERT_ALTNAME_INVALID",
    },
    // health.rs
    Mutant {
        check: "health",
        how: "the health check always succeeds",
        change: Image(r#"HEALTHCHECK CMD ["true"]"#),
        expect: "its health is Healthy, not starting",
    },
    Mutant {
        check: "hanging-server",
        how: "the health check only connects to the port",
        change: Image(
            r#"HEALTHCHECK --start-period=120s CMD ["node", "-e", "require('net').connect(8055).on('connect', () => process.exit(0)).on('error', () => process.exit(1))"]"#,
        ),
        expect: "it is Healthy, not Unhealthy",
    },
    // services.rs
    Mutant {
        check: "redis",
        how: "the boot does not wait for Redis",
        change: Binary(r#"unset REDIS; exec "$real" "$@""#),
        expect: "the last line does not contain `no connection to Redis",
    },
    Mutant {
        check: "message-bus",
        how: "Directus subscribes while its modules are imported",
        change: Image(
            "RUN sed -i '/useBus/,/catch/d' /directus/scripts/server.mjs && ! grep -q useBus /directus/scripts/server.mjs",
        ),
        expect: "the other server does not know the new field",
    },
    // metrics.rs
    Mutant {
        check: "metrics",
        how: "the boot writes no metrics",
        change: Binary(r#"unset BOOT_METRICS_FILE; exec "$real" "$@""#),
        expect: "first ended with 1",
    },
    Mutant {
        check: "metrics",
        how: "no change of the schema is counted",
        change: Binary(r#""$real" "$@" | sed '/^directus_boot_schema_changes/s/[0-9]*$/0/'"#),
        expect: "directus_boot_schema_changes is 0, and in the log",
    },
    // secrets.rs
    Mutant {
        check: "secrets-from-files",
        how: "a password that is set twice is accepted",
        change: Binary(
            r#"[ -z "$DB_PASSWORD" ] || [ -z "$DB_PASSWORD_FILE" ] || unset DB_PASSWORD_FILE
            exec "$real" "$@""#,
        ),
        expect: "the last line has no `DB_PASSWORD and DB_PASSWORD_FILE are both set`",
    },
    Mutant {
        check: "secrets-from-files",
        how: "the path of the file is used as the password",
        change: Binary(
            r#"[ -n "$DB_PASSWORD" ] || { export DB_PASSWORD="$DB_PASSWORD_FILE"; unset DB_PASSWORD_FILE; }
            exec "$real" "$@""#,
        ),
        expect: "ended with 21",
    },
    Mutant {
        check: "no-secret-in-logs",
        how: "the boot logs its database password",
        change: Binary(r#"echo "connecting as $DB_USER with $DB_PASSWORD"; exec "$real" "$@""#),
        expect: "the value of DB_PASSWORD is in the log of wrong-password",
    },
    // swarm.rs
    Mutant {
        check: "swarm-roll",
        how: "running servers are not told of a changed schema",
        change: Image(
            "RUN echo 'process.exit(0);' > /directus/scripts/flush.mjs && sed -i '/query(`listen/d' /directus/scripts/presence.mjs",
        ),
        expect: "dropped the new field",
    },
    Mutant {
        check: "swarm-failed-update",
        how: "the boot of the newer image skips its files",
        change: Binary(
            r#"if [ "$BOOT_IMAGE" = c ]; then
                mkdir /tmp/older && cp "$BOOT_DB_INIT_DIR"/001* /tmp/older && export BOOT_DB_INIT_DIR=/tmp/older
            fi
            exec "$real" "$@""#,
        ),
        expect: "the update ended as `completed`",
    },
    Mutant {
        check: "swarm-drain",
        how: "pm2 kills a server after its own default",
        change: Image("RUN sed -i 's/env.PM2_KILL_TIMEOUT/1600/' /directus/scripts/ecosystem.config.cjs"),
        expect: "a request that was accepted before SIGTERM failed",
    },
    Mutant {
        check: "swarm-faults",
        how: "the health check asks the database",
        change: Image(ALWAYS_READY),
        expect: "replicas were restarted",
    },
    Mutant {
        check: "swarm-killed-boot",
        how: "every boot except the first waits for ever",
        change: Binary(r#"mkdir /directus/uploads/first && exec "$real" "$@"; exec sleep 3600"#),
        expect: "of 3 replicas run after",
    },
];
