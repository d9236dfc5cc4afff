# preheat's image: `docker build -t preheat:0.1.0 .`
# The page, the binary with the page in it, and nothing else but what glibc needs.

FROM node:22-bookworm-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run build

FROM rust:1.95-slim-bookworm AS build
# SQLite and ring are compiled from C; the compiler comes with Rust's image, libc's headers too.
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates ./crates
# The lesson's, which are built in.
COPY scenarios ./scenarios
COPY --from=web /src/web/dist ./web/dist
RUN cargo build --locked --profile dist -p preheat --bin preheat \
 && install -D target/dist/preheat /out/usr/local/bin/preheat \
 && install -d /out/var/lib/preheat

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/usr/local/bin/preheat /usr/local/bin/preheat
COPY --from=build --chown=65532:65532 /out/var/lib/preheat /var/lib/preheat
# Numeric, so that runAsNonRoot can be checked; the same as in the manifests.
USER 65532:65532
WORKDIR /var/lib/preheat
EXPOSE 8080 8081
ENTRYPOINT ["/usr/local/bin/preheat"]
CMD ["controller"]
