//! The help of the boot binary, which is also the reference of the image's commands.

/// The help, as `docker run --rm IMAGE help` prints it.
pub const HELP: &str = "\
Brings the database to this image's schema, then serves Directus.

Usage: entrypoint [COMMAND]

  start [-- SERVER…]  wait for PostgreSQL, migrate, apply the schema, become the server (the default)
  boot                the same, but exit 0 instead of becoming the server
  plan [--json]       show what a boot would do to this database; exit 0 nothing, 2 changes, 3 drift, 43 refused
  plan --rehearse [--timeout SECONDS] [--json]
                      boot in a transaction that is always rolled back, and report the real losses and the locks:
                      for copies and quiet hours, since other sessions wait for those locks; 30 seconds at most
  compat [--json]     show if this image may start while servers of another image run; exit 0 it may, 3 stop them
                      first, 43 refused
  contract            boot, and exit 0 only if nothing waits any more for servers of other images; 3 if they run
  status [--json]     show what was done to this database, and what is pending
  attic [--json]      list removed tables, columns and rows that can be restored
  attic restore N     restore entry N
  attic purge N|--all drop entry N, or all entries, for good
  snapshot --convert [FILE]
                      print a snapshot of another version (FILE or standard input) in the form of this image
  healthcheck [live]  exit 0 if the server in this container answers, 50 if not
  healthcheck ready   the same, and the database answers and has this image's schema
  healthcheck startup exit 0 once the boot is over and the server answers
  manifest            check the SQL files and write the manifest; a step of the image's build
  help                print this text
  version             print the version of the entrypoint and of the image
  anything else       run it as a command, without a boot: docker run IMAGE id

Variables and exit codes are described in docs/reference of the repository.
";
