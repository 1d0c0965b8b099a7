# The image: one binary on a small Debian, a user without rights, one writable folder.
#
#   docker build -t watchfire .
#   docker run --read-only -v watchfire:/data -p 127.0.0.1:7700:7700 watchfire

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && install -D target/release/watchfire /out/watchfire
RUN install -d -o 65532 -g 65532 -m 700 /out/data

FROM debian:bookworm-slim
# Roots for webhooks over TLS; nothing else is added to the base image.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/watchfire /usr/local/bin/watchfire
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 7700
STOPSIGNAL SIGTERM
# bash opens the connection itself, so that the image needs no HTTP client.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=6 CMD \
    ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7700 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && head -1 <&3 | grep -q ' 200'"]
ENTRYPOINT ["watchfire"]
# Within a container every address is the container's own; publish the port where it may be seen.
CMD ["serve", "--data", "/data", "--listen", "0.0.0.0:7700", "--insecure"]
