# The image of a Causeway node: one static binary on an empty image, run by an unprivileged user.
#
#   docker build -t causeway .        compiles in the official Rust image: needs Docker and a registry, no Rust
#   scripts/image                     compiles on this machine, then `docker build --target prebuilt`: needs no registry
#
# Both end on the same `base`: the two images differ only in the toolchain that compiled the binary.
# Plain instructions only: the legacy builder of Docker 20.10 must take this file too. That builder runs
# every stage above the requested one, so the stage that needs a pulled image comes after `prebuilt`.
ARG RUST_IMAGE=rust:1.95-bookworm

FROM scratch AS base
# The directory must exist in the image and belong to the user: a new named volume takes its owner from it.
COPY --chown=65532:65532 .dist/rootfs/data/ /data/
ENV DATA_DIR=/data
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=2s --retries=3 CMD ["/bin/causeway", "health"]
ENTRYPOINT ["/bin/causeway"]
CMD ["serve"]

FROM base AS prebuilt
COPY .dist/rootfs/bin/ /bin/

FROM ${RUST_IMAGE} AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
# --target keeps the static flag away from build scripts and macros, which must stay dynamic.
RUN triple=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS='-C target-feature=+crt-static' \
    cargo build --locked --profile dist --bin causeway --target "$triple" --target-dir /build/target \
 && install -D "target/$triple/dist/causeway" /out/causeway

FROM base
COPY --from=build /out/causeway /bin/causeway
