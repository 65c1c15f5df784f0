#!/bin/sh
# Makes the files of the Secret "omniroute" in deploy/k8s/secrets (git-ignored, readable to you alone). What is there is
# kept. `kubectl apply -k deploy/k8s/secrets` then brings them to the cluster.
set -eu
cd "$(dirname "$0")/secrets"
umask 077

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

keep() { # name, content
    if [ ! -s "$1" ]; then
        printf '%s\n' "$2" > ".$1"
        mv ".$1" "$1"
        echo "made deploy/k8s/secrets/$1"
    fi
}

keep service_token "$(random)"
# Letters and digits, as the NATS servers put theirs into a URL; a letter first, as NATS reads digits as a number.
keep redis_password "r$(random)"
keep nats_password "n$(random)"
# The key that omniroute.yaml declares: what your programs send.
keep api_key "or-$(random)"
