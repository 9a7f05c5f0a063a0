#!/usr/bin/env bash
# certificates.sh FOLDER: makes a certificate authority, and a server's certificate for the names of the interop tests.
set -euo pipefail
mkdir -p "$1"
cd "$1"
[[ -e server.pem && -n $(find server.pem -mtime -20) ]] && exit 0
new_key() {
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null ||
        openssl ecparam -name prime256v1 -genkey -noout -out "$1"
}
new_key ca.key
openssl req -x509 -new -key ca.key -days 30 -subj "/CN=Lariat test authority" -out ca.pem
new_key server.key
openssl req -new -key server.key -subj "/CN=*.test.google.fr" -out server.csr
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out server.pem -extfile <(
    printf 'subjectAltName=DNS:*.test.google.fr,DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n'
) 2>/dev/null
