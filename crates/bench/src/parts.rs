//! The title and the method of each part of the benchmark.

use grammar::Part;

/// The head of its table.
pub(crate) fn title(part: Part) -> &'static str {
    match part {
        Part::Gate => "Containers: from the start to the server",
        Part::Steps => "What each step brings",
        Part::Process => "Processes: the boot alone",
        Part::Ledger => "A warm boot and the length of the ledger",
        Part::Migrations => "Applying 1,000 small migrations",
        Part::Witness => "The witness in a cold boot",
        Part::Replicas => "Several containers at once",
        Part::Memory => "The most memory of a boot",
        Part::Image => "The image",
        Part::Xtask => "xtask without anything to do",
    }
}

/// The method of measurement.
pub(crate) fn method(part: Part) -> &'static str {
    match part {
        Part::Gate => {
            "From the engine's `StartedAt` to the engine's time stamp of the line before the server's exec: ours is \
             the line of phase 8, the shell's is one that it writes right before `exec`. `StartedAt` itself is a few \
             milliseconds off, so that figures of less are zero here; processes tell more. Serving is the first 200 \
             from `/server/ping`, asked every 20 ms. Cold is an empty database, warm the same one again. Our \
             image has its health check, the shell's has none."
        }
        Part::Steps => {
            "The same, beside itself with one step undone: on all of upstream's image; without what Node compiled when \
             the image was built; with Directus' modules as upstream has them, which were never compiled; and, warm, \
             on a database whose fingerprint was forgotten, so that Directus has to plan."
        }
        Part::Process => {
            "In containers that run already, by a clock inside them: `entrypoint boot`, and `entrypoint.sh true`. The \
             bare connect is a process of the same build as the boot binary that authenticates (SCRAM) and ends; \
             `psql` is the program itself, not a wrapper."
        }
        Part::Ledger => {
            "The same, with that many migrations more than the image has, all applied. The shell starts a psql and a \
             sha256sum for each: it is measured up to 1,000."
        }
        Part::Migrations => {
            "One `insert` each, on a booted database. Ours is what phase 4 says of itself; the shell's is the time \
             between its lines before and after; psql alone has neither ledger nor checksums, and each file commits."
        }
        Part::Witness => {
            "In a process of its own, after the connection: the catalog is read, then before and after each of seven \
             transactions only what may have changed, as in a cold boot of this image, but over the finished database. \
             The large model adds 500 tables of 30 columns and 10,000 partitions."
        }
        Part::Replicas => {
            "Made first, then started at the same moment on one database: from the first start until the last that \
             survives is done with the boot. No server is started after it. The shell has no lock: what dies is part \
             of the result."
        }
        Part::Memory => {
            "The container's own peak (cgroup: with the file cache that it was charged for), from a first process that \
             runs the boot and then reads it."
        }
        Part::Image => {
            "Sizes as the engine counts them; the shell has all of upstream's image for its base. Rebuilds are done in a copy of the tree: cargo, where it has a part, \
             and `docker buildx build`, until the image is in the engine."
        }
        Part::Xtask => "`cargo xtask --help`, by cargo and as the bare program.",
    }
}
