# Our image on the full upstream image, with identical files of ours.
ARG IMAGE
ARG DIRECTUS_IMAGE

# hadolint ignore=DL3006
FROM ${IMAGE} AS ours

# hadolint ignore=DL3006
FROM ${DIRECTUS_IMAGE}
COPY --from=ours /directus/bundle /directus/bundle
COPY --from=ours /directus/scripts /directus/scripts
COPY --from=ours /directus/db-init /directus/db-init
COPY --from=ours /directus/snapshots /directus/snapshots
COPY --from=ours /usr/local/bin/entrypoint /usr/local/bin/entrypoint
USER node
ENTRYPOINT ["/usr/local/bin/entrypoint"]
CMD ["start"]
# The same health check as in our image, because its processes compete with the server.
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 CMD ["/usr/local/bin/entrypoint", "healthcheck"]
