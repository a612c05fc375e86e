# Our image with Directus' unbundled modules: each entry point of the bundle re-exports its original.
ARG IMAGE

# hadolint ignore=DL3006
FROM ${IMAGE}
USER root
RUN --mount=type=bind,source=unbundle.mjs,target=/mnt/unbundle.mjs node /mnt/unbundle.mjs /directus/bundle
USER node
