# tocsin in two stages: the first has the compilers, the second has the program.
# deploy/verify-in-debian-root.sh runs the commands of this file in a bare Debian 12, without Docker.

FROM rust:1.95-bookworm AS build
# librdkafka is C; `ssl-vendored` builds OpenSSL, which wants the full perl.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates gcc g++ libc6-dev make perl \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package tocsin --features tls \
 && strip --strip-debug target/release/tocsin

FROM debian:bookworm-slim
# Certificate authorities, for receivers and brokers that speak TLS.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 tocsin \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tocsin --shell /usr/sbin/nologin tocsin \
 && install -d -o tocsin -g tocsin /var/lib/tocsin /etc/tocsin
COPY --from=build /src/target/release/tocsin /usr/local/bin/tocsin
USER 10001:10001
WORKDIR /var/lib/tocsin
EXPOSE 7311
STOPSIGNAL SIGTERM
# Ready means: every role of this process has restored its state. No HTTP client is in the image, and none is needed.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7311 && printf 'GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [[ $status == 200 ]]"]
ENTRYPOINT ["tocsin"]
CMD ["run", "--config", "/etc/tocsin/tocsin.toml"]
