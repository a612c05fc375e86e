# The image: a pinned Directus, our SQL, our snapshot, and one static binary that boots it. We add no shell script.
#
#   docker build -t trm-directus:dev .        builds the binary in a Rust image
#   cargo xtask image                         uses the binary that cargo built on the host
#
# For every BuildKit since Docker 20.10: without heredocs, COPY --link, and a syntax image to pull.

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
    && cargo build --locked --profile image --package entrypoint --target "$target" \
    && cp "target/$target/image/entrypoint" /entrypoint

FROM scratch AS prebuilt
COPY target/prebuilt/entrypoint /entrypoint

# hadolint ignore=DL3006
FROM ${BINARY} AS binary

# An empty folder, so that a new volume mounted there belongs to node.
FROM scratch AS writable
WORKDIR /uploads

# Upstream's folders that contain our files. They belong to node there, and a user who may write to a folder can replace
# its entries.
FROM scratch AS protected
WORKDIR /directus/extensions

# Directus in few files, with a compile cache: importing it takes half the time. Before anything that changes often.
# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE} AS bundle
COPY --chmod=0555 scripts/bundle /directus/bundling
# At its final path and as its final user, since the compile cache depends on both.
RUN node bundling/bundle.mjs bundle && node bundling/warm.mjs bundle

# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE} AS full

# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE} AS pruned
# hadolint ignore=DL3002
USER root
RUN --mount=type=bind,source=scripts/slim,target=/mnt node /mnt/prune.mjs /mnt/prune.tsv /

# One layer, so that removed files are not shipped in a lower one. It contains nothing else, because our layers are
# compared with it (crates/testbed/src/image/inspection.rs). Upstream's settings, except for its SQLite database.
FROM scratch AS slim
COPY --from=pruned / /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    DB_CLIENT=pg \
    NODE_ENV=production \
    NPM_CONFIG_UPDATE_NOTIFIER=false
WORKDIR /directus
EXPOSE 8055

# hadolint ignore=DL3006
FROM ${VARIANT}
# Root owns our files, and the image's user cannot write to them. 0555 on files, too: --chmod sets one mode for files
# and folders, and the host's umask must not decide which files node can read.
# As part of a tree, because an existing folder keeps its owner if it is itself the target of a COPY.
COPY --from=protected --chown=0:0 / /
COPY --from=writable --chown=1000:1000 /uploads /directus/uploads
COPY --from=bundle --chown=0:0 --chmod=0555 /directus/bundle /directus/bundle
COPY --chown=0:0 --chmod=0555 scripts/image /directus/scripts
COPY --from=binary --chown=0:0 --chmod=0555 /entrypoint /usr/local/bin/entrypoint
COPY --chown=0:0 --chmod=0555 db-init /directus/db-init
USER root
# Refuses SQL files that no boot would accept, and writes the manifest, which a boot with nothing to do reads instead.
RUN ["/usr/local/bin/entrypoint", "manifest"]
COPY --chown=0:0 --chmod=0555 snapshots /directus/snapshots
COPY --chown=0:0 --chmod=0555 extensions /directus/extensions

USER node
ENTRYPOINT ["/usr/local/bin/entrypoint"]
CMD ["start"]
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 CMD ["/usr/local/bin/entrypoint", "healthcheck"]

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
