#!/usr/bin/env bash
# Builds go-server and go-client into the folder given. Needs go and protoc (Debian package protobuf-compiler).
# The module is built in a copy there, beside the code that is generated from the .proto file.
set -euo pipefail
cd "$(dirname "$0")"
to=$(realpath -m "$1")
protos=$(realpath ../proto)
rm -rf "$to/go" && mkdir -p "$to/go/helloworld"
cp -r go.mod go.sum server client "$to/go"
cd "$to/go"
export GOBIN=$to/go/bin PATH=$to/go/bin:$PATH
go install tool
mapping=Mhelloworld.proto=lariat.test/peers/helloworld
protoc -I "$protos" --go_out=. --go_opt=module=lariat.test/peers,$mapping \
    --go-grpc_out=. --go-grpc_opt=module=lariat.test/peers,$mapping helloworld.proto
go build -o "$to/go-server" ./server
go build -o "$to/go-client" ./client
