# One static binary in an empty image. It needs no shell, no libc and no root, and writes only to /data.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/holdfast ./cmd/holdfast && mkdir /out/data

FROM scratch
COPY --from=build /out/holdfast /holdfast
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data

# A container's loopback is nobody else's, so all addresses are listened on. There is no authentication yet: the node starts
# only if HOLDFAST_INSECURE=true, or --insecure, says that the network is closed.
ENV HOLDFAST_DIR=/data \
    HOLDFAST_RESP=0.0.0.0:6379 \
    HOLDFAST_MEMCACHE=0.0.0.0:11211 \
    HOLDFAST_HTTP=0.0.0.0:8379 \
    HOLDFAST_PEER=0.0.0.0:7379 \
    HOLDFAST_GOSSIP=0.0.0.0:7946
EXPOSE 6379 11211 8379 7379 7946 7946/udp

# More than --drain, so that a stop leaves a clean-shutdown mark: docker stop -t 20.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=6s --start-period=30s --retries=3 CMD ["/holdfast", "ready", "--http", "127.0.0.1:8379"]
ENTRYPOINT ["/holdfast"]
CMD ["server"]
