# The image: a pinned Directus, our SQL, our snapshot, and one static binary that boots it. We add no shell script.
#
#   docker build -t trm-directus:dev .        builds the binary in a Rust image
#   cargo xtask image                         uses the binary that cargo built on the host
#
# For every BuildKit since Docker 20.10: without heredocs, COPY --link, and a syntax image to pull.
#
# Every stage is of the image's platform, none of the builder's (`--platform=$BUILDPLATFORM`): the compile cache depends on
# the processor, the bundle refers to native modules of its base, and the manifest is written by the binary itself. A
# build for another platform therefore needs an emulator: docs/deploy.md#platforms.

# The pin. The only place that holds it; why this version: docs/decisions/0001-pin-directus.md.
ARG DIRECTUS_IMAGE=directus/directus:11.17.4
ARG RUST_IMAGE=rust:1.95-alpine
# The origin of the binary: `source` or `prebuilt`.
ARG BINARY=source
# The base: `slim`, upstream's image without the files in scripts/slim/prune.tsv, or `full`, the whole of it.
ARG VARIANT=slim

FROM ${RUST_IMAGE} AS source
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY crates crates
COPY xtask xtask
COPY entrypoint entrypoint
# The target selects musl; on an Alpine image it is the host's.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    --mount=type=secret,id=ca,target=/run/ca.pem \
    target="$(uname -m)-unknown-linux-musl" \
    && if [ -s /run/ca.pem ]; then export CARGO_HTTP_CAINFO=/run/ca.pem; fi \
    && cargo install --quiet --locked cargo-auditable \
    && cargo auditable build --locked --profile image --package entrypoint --target "$target" \
    && cp "target/$target/image/entrypoint" /entrypoint

FROM scratch AS prebuilt
COPY target/prebuilt/entrypoint /entrypoint

# hadolint ignore=DL3006
FROM ${BINARY} AS binary

# Directus in few files, with a compile cache: importing it takes half the time. Before anything that changes often.
# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE} AS bundle
COPY --chmod=0555 scripts/bundle /directus/bundling
# At its final path and as its final user, since the compile cache depends on both. V8's two flags, which do not change
# the cache's key, replace its random seed and its concurrency: otherwise every build gives other bytes.
RUN node bundling/bundle.mjs bundle && node --predictable --random-seed=1 bundling/warm.mjs bundle

# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE} AS full

# In a copy of the base, because a RUN mounts files into its own /etc and thereby changes the time of that folder.
# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE} AS pruned
# hadolint ignore=DL3002
USER root
COPY --from=full / /base
RUN --mount=type=bind,source=scripts/slim,target=/mnt node /mnt/prune.mjs /mnt/prune.tsv /base

# One layer, so that removed files are not shipped in a lower one. It contains nothing else, because our layers are
# compared with it (crates/testbed/src/image/inspection.rs). Upstream's settings, except for its SQLite database.
FROM scratch AS slim
COPY --from=pruned /base /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    DB_CLIENT=pg \
    NODE_ENV=production \
    NPM_CONFIG_UPDATE_NOTIFIER=false
WORKDIR /directus
EXPOSE 8055

# Everything that we add, at its final path, with one folder per layer. All times are the same, so that the same content
# is the same layer at each build: a COPY into the image would give the time of the build to the folders above a file.
# Root owns our files, and the image's user cannot write to them. 0555 on files, too: --chmod sets one mode for files
# and folders, and the host's umask must not decide which files node can read.
# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE} AS ours
# hadolint ignore=DL3002
USER root
# Empty, so that a new volume mounted there belongs to node. The folders above the others, because the BuildKit of Docker
# 28 would create them with the mode of --chmod.
RUN install -d -o 1000 -g 1000 /ours/uploads/directus/uploads \
    && install -d /ours/bundle/directus /ours/scripts/directus /ours/entrypoint/usr/local/bin \
        /ours/db-init/directus /ours/snapshots/directus /ours/extensions/directus
COPY --from=bundle --chown=0:0 --chmod=0555 /directus/bundle /ours/bundle/directus/bundle
COPY --chown=0:0 --chmod=0555 scripts/image /ours/scripts/directus/scripts
COPY --from=binary --chown=0:0 --chmod=0555 /entrypoint /ours/entrypoint/usr/local/bin/entrypoint
COPY --chown=0:0 --chmod=0555 db-init /ours/db-init/directus/db-init
COPY --chown=0:0 --chmod=0555 snapshots /ours/snapshots/directus/snapshots
COPY --chown=0:0 --chmod=0555 extensions /ours/extensions/directus/extensions
# The manifest and the digest, which a boot with nothing to do reads instead of the SQL files and the snapshot; writing
# them refuses SQL files that no boot would accept. They are valid while the folders of the SQL files and the snapshot
# have the times that this gives them, hence after all others.
RUN find /ours -exec touch -h -d @0 {} + \
    && BOOT_DB_INIT_DIR=/ours/db-init/directus/db-init \
       BOOT_SNAPSHOT_FILE=/ours/snapshots/directus/snapshots/schema.yaml \
       /ours/entrypoint/usr/local/bin/entrypoint manifest \
    && touch -c -d @0 /ours/db-init/directus/db-init/.manifest /ours/snapshots/directus/snapshots \
       /ours/snapshots/directus/snapshots/.digest

# hadolint ignore=DL3006
FROM ${VARIANT}
# As trees from the root, because an existing folder keeps its owner and gets a new time if it is itself the target of a
# COPY. /directus and its extensions, which belong to node in upstream's image, thereby belong to root: a user who may
# write to a folder can replace its entries.
COPY --from=ours /ours/uploads /
COPY --from=ours /ours/bundle /
COPY --from=ours /ours/scripts /
COPY --from=ours /ours/entrypoint /
COPY --from=ours /ours/db-init /
COPY --from=ours /ours/snapshots /
COPY --from=ours /ours/extensions /

USER node
ENTRYPOINT ["/usr/local/bin/entrypoint"]
CMD ["start"]
# The start period is the longest boot: a swarm ends a container that is unhealthy.
HEALTHCHECK --interval=5s --timeout=5s --start-period=1260s --retries=3 CMD ["/usr/local/bin/entrypoint", "healthcheck", "live"]

# Last, because they change with every commit; metadata only, no layers.
ARG DIRECTUS_IMAGE
ARG VARIANT
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=unknown
# The image in each row of the ledger; read by the boot, unknown to Directus.
ENV BOOT_IMAGE=${VERSION}@${REVISION}
LABEL org.opencontainers.image.title="trm-directus" \
      org.opencontainers.image.description="Directus with TRM's schema: an immutable image that migrates its database at every start" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${DIRECTUS_IMAGE}" \
      trm.variant="${VARIANT}"
