#!/usr/bin/env bash
# Builds the clients and servers of the gRPC interoperability tests, ours and the foreign ones, runs each client against
# each server, and writes the table RESULTS.md. Arguments go to matrix.py: `--transports plaintext`, for instance.
set -euo pipefail
cd "$(dirname "$0")"
source ./common.sh

./peers.sh
build
export CARGO_TARGET_DIR=$peers/tonic
cargo build --release --quiet --manifest-path tonic/Cargo.toml
./certificates.sh "$logs/certificates"
go_version=$(sed -n 's/^[[:space:]]*google.golang.org\/grpc v//p' go/go.mod | head -1)
grpcio_version=$(sed -n 's/^grpcio==//p' python/requirements.txt)
tonic_version=$(sed -n '/^name = "tonic"$/{n;s/version = "\(.*\)"/\1/p}' tonic/Cargo.lock)
python3 matrix.py --programs "$programs" --peers "$peers" --tonic "$peers/tonic/release" \
    --certificates "$logs/certificates" --output RESULTS.md \
    --versions "grpc-go $go_version, grpcio $grpcio_version, tonic $tonic_version" "$@"
