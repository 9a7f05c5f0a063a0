#!/usr/bin/env bash
# Installs the foreign peers: a Python environment with grpcio, and the Go programs of interop/go with h2spec.
# They go to $LARIAT_PEERS_DIR (default: target/peers), never into the tree. Running it again is cheap.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p "${LARIAT_PEERS_DIR:=../target/peers}"
peers=$(realpath "$LARIAT_PEERS_DIR")

if ! cmp -s python/requirements.txt "$peers/requirements.txt"; then
    python3 -m venv "$peers/venv"
    "$peers/venv/bin/pip" install --quiet --disable-pip-version-check -r python/requirements.txt
    cp python/requirements.txt "$peers"
fi

# The Go module is built in a copy, beside the code that is generated from the examples' protos.
rm -rf "$peers/go" && cp -r go "$peers/go"
cd "$peers/go"
export GOBIN=$peers/bin PATH=$peers/bin:$PATH
go install github.com/summerwind/h2spec/cmd/h2spec \
    google.golang.org/grpc/cmd/protoc-gen-go-grpc google.golang.org/protobuf/cmd/protoc-gen-go
interop=google.golang.org/grpc/interop
go build -o "$peers/bin/grpc-go-interop-client" $interop/client
go build -o "$peers/bin/grpc-go-interop-server" $interop/server
go build -o "$peers/bin/grpc-go-http2-client" $interop/http2
protos=$OLDPWD/../examples/proto
options=()
for package in helloworld:helloworld.proto routeguide:route_guide.proto; do
    mapping=M${package#*:}=lariat.test/interop/${package%:*}
    options+=(--go_opt="$mapping" --go-grpc_opt="$mapping")
done
"$peers/venv/bin/python" -m grpc_tools.protoc -I "$protos" \
    --go_out=. --go_opt=module=lariat.test/interop --go-grpc_out=. --go-grpc_opt=module=lariat.test/interop \
    "${options[@]}" helloworld.proto route_guide.proto
go build -o "$peers/bin/go-client" ./client
go build -o "$peers/bin/go-server" ./server
go build -o "$peers/bin/go-backend" ./backend
