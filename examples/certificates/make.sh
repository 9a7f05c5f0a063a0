#!/usr/bin/env bash
# Makes the certificates of the examples anew, with OpenSSL. Their keys are public: they secure nothing but examples.
set -euo pipefail
cd "$(dirname "$0")"
days=36500

# authority NAME: a self-signed certificate that issues others.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days $days \
        -keyout "$1.key" -out "$1.pem" -subj "/CN=$1 of the examples" \
        -addext "keyUsage=critical,keyCertSign,cRLSign"
}

# certificate NAME AUTHORITY USAGE DNS_NAME: one that the authority issues.
certificate() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -keyout "$1.key" -subj "/CN=$4" |
        openssl x509 -req -days $days -CA "$2.pem" -CAkey "$2.key" -out "$1.pem" -extfile <(
            echo "basicConstraints=critical,CA:FALSE"
            echo "keyUsage=critical,digitalSignature"
            echo "extendedKeyUsage=$3"
            echo "subjectAltName=DNS:$4"
        )
}

authority ca
authority client_ca
certificate server ca serverAuth echo.example
certificate client client_ca clientAuth client.example
# Nothing more is to be issued.
rm ca.key client_ca.key
