# The image with Directus' modules as upstream has them: each file of the bundle hands on to the one that it was made from.
ARG IMAGE

# hadolint ignore=DL3006
FROM ${IMAGE}
USER root
RUN --mount=type=bind,source=unbundle.mjs,target=/mnt/unbundle.mjs node /mnt/unbundle.mjs /directus/bundle
USER node
