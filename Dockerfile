# syntax=docker/dockerfile:1
# One image with every program of Muster; a container picks one by its command. The agent is in it too, for hosts that
# run it in a container of their own, but QEMU is not: that belongs to the host.

FROM rust:1.95-bookworm AS build
WORKDIR /muster
COPY . .
# The caches outlive this layer, so that a change builds only what it touches; programs are copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/muster/target \
    cargo build --locked --profile dist --workspace --bins \
    && mkdir /out \
    && cd target/dist \
    && cp musterd muster gateway inventory jobs placement refresher transfer performance webhooks library agent /out/

FROM debian:bookworm-slim
# certificates: for an OTLP endpoint, or a bus, behind TLS
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/muster --create-home muster
COPY --from=build /out/ /usr/local/bin/
USER muster
# The view of one instance: no two may share it, and one that is lost is built again from the bus.
VOLUME /var/lib/muster
CMD ["musterd"]
