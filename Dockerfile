# Two stages: the build, and an image with the binary and nothing of it. `make podman-build` builds it.
ARG RUST_IMAGE=docker.io/library/rust:1.88-slim-bookworm
ARG RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# jemalloc must know the largest page that a machine of this kind may have.
RUN if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi \
    && cargo build --release --locked \
    && install -D -s target/release/kvns /out/kvns \
    && mkdir /out/data

# Nothing runs in this stage, so its base needs a C library and no shell.
FROM ${RUNTIME_IMAGE} AS runtime
COPY --from=build /out/kvns /usr/local/bin/kvns
COPY --from=build --chown=10001:10001 /out/data /data
USER 10001:10001
ENV KVNS_PERSIST_PATH=/data/kvns.snapshot \
    KVNS_MEMORY_LIMIT=0
VOLUME /data
EXPOSE 6480 9090
# The server finishes what it has read and takes a last snapshot.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/kvns", "--healthcheck"]
ENTRYPOINT ["/usr/local/bin/kvns"]
