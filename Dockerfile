# Strongroom in a container. Nothing is compiled: Node runs the TypeScript as it is.

FROM node:24-bookworm-slim AS libraries
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier && npm cache clean --force

# Debian's own source, without what the archive does not accept: it starts in a tenth of the time.
FROM node:24-bookworm-slim AS ffprobe
RUN apt-get update \
 && apt-get install -y --no-install-recommends dpkg-dev gcc libc6-dev make patch xz-utils zlib1g-dev
COPY scripts/build-ffprobe scripts/ffprobe-components /build/
RUN /build/build-ffprobe /build/ffprobe

FROM node:24-bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ffmpeg tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
# By this name the entrypoint also gives up root for `docker exec` and the health check.
RUN ln -s /app/deploy/entrypoint.sh /usr/local/bin/strongroom
COPY --from=ffprobe /build/ffprobe /usr/local/lib/strongroom/ffprobe
ENV FFPROBE_SMALL_PATH=/usr/local/lib/strongroom/ffprobe
WORKDIR /app
COPY --from=libraries /app/node_modules node_modules
COPY package.json LICENSE ./
COPY bin bin
COPY deploy/entrypoint.sh deploy/entrypoint.sh
COPY docs/sidecar.schema.json docs/sidecar.schema.json
COPY src src
# Anybody may write here: `demo` leaves its data where it is started.
WORKDIR /tmp
# What is written into the container's own file system goes with it.
ENV REQUIRE_MOUNT=true
# 8080 file server; 8081 admin, never for the tunnel.
EXPOSE 8080 8081
# No USER: started as root it becomes PUID:PGID, started with --user it stays what it is.
# No VOLUME: an anonymous volume would hide that nothing is mounted.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["strongroom", "health"]
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "strongroom"]
CMD ["start"]
