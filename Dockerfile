# The image: Directus pinned, plus our SQL, our snapshot and one static binary that boots it. No shell script of ours.
#
#   docker build -t trm-directus:dev .        builds the binary in a Rust image
#   cargo xtask image                         takes the binary that cargo built on the host
#
# Written for any BuildKit since Docker 20.10: no heredocs, no COPY --link, no syntax image to pull.

# The pin. The only place that holds it; why this version: ARCHITECTURE.md.
ARG DIRECTUS_IMAGE=directus/directus:11.17.4
ARG RUST_IMAGE=rust:1.95-alpine
# Where the binary comes from: `source` or `prebuilt`.
ARG BINARY=source
# What it is made on: `slim`, what scripts/slim/prune.tsv leaves of upstream's image, or `full`, all of it.
ARG VARIANT=slim

FROM ${RUST_IMAGE} AS source
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY crates crates
COPY xtask xtask
COPY entrypoint entrypoint
# The target's name decides about musl; on an Alpine image it is the host's own.
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

# An empty folder with an owner, so that a fresh volume mounted there belongs to node.
FROM scratch AS writable
WORKDIR /uploads

# Upstream's folders that hold what we add. Whoever may write a folder may put another thing in the place of what lies in
# it, and these are node's there.
FROM scratch AS protected
WORKDIR /directus/extensions

# Directus in few files, and compiled: half the time to import it. Before anything that changes often.
# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE} AS bundle
COPY --chmod=0555 scripts/bundle /directus/bundling
# Where it will lie, and as the user that will run it: the compile cache is for both.
RUN node bundling/bundle.mjs bundle && node bundling/warm.mjs bundle

# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE} AS full

# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE} AS pruned
# hadolint ignore=DL3002
USER root
RUN --mount=type=bind,source=scripts/slim,target=/mnt node /mnt/prune.mjs /mnt/prune.tsv /

# One layer, so that what is removed is not shipped below it, and nothing else in that layer: it is what ours are compared
# with (crates/testbed/src/image/inspection.rs). Upstream's settings, but for its database in a file.
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
# Root owns what we add, and nothing of it can be written by the image's user. 0555 on files too: --chmod sets one mode
# for files and folders alike, and the host's umask must not decide what node can read.
# As part of a tree, because a folder that is there already keeps its owner when it is itself the target of a COPY.
COPY --from=protected --chown=0:0 / /
COPY --from=writable --chown=1000:1000 /uploads /directus/uploads
COPY --from=bundle --chown=0:0 --chmod=0555 /directus/bundle /directus/bundle
COPY --chown=0:0 --chmod=0555 scripts/image /directus/scripts
COPY --from=binary --chown=0:0 --chmod=0555 /entrypoint /usr/local/bin/entrypoint
COPY --chown=0:0 --chmod=0555 db-init /directus/db-init
USER root
# Refuses SQL files that no boot would take, and notes what they are: a boot with nothing to do reads that instead.
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
# Which image wrote a row of the ledger; read by the boot, unknown to Directus.
ENV BOOT_IMAGE=${VERSION}@${REVISION}
LABEL org.opencontainers.image.title="trm-directus" \
      org.opencontainers.image.description="Directus with TRM's schema: an immutable image that migrates its database at every start" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${DIRECTUS_IMAGE}" \
      trm.variant="${VARIANT}"
