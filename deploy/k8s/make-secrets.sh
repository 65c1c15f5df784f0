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
# What auth signs configurations with, and by what the others know them: a pair.
if [ ! -s "config_signing_key" ]; then
    if ! made=$(openssl genpkey -algorithm ed25519 2>/dev/null); then
        echo "openssl cannot make an Ed25519 key here: 'omniroute signing-key create --out deploy/k8s/secrets' can" >&2
        exit 1
    fi
    keep config_signing_key "$made"
fi
if [ ! -s "config_public_keys" ]; then
    made=$(openssl pkey -pubout -in "config_signing_key")
    keep config_public_keys "$made"
fi
# What auth seals providers' credentials with. Keep a copy: no backup has it, and nothing sealed opens without it.
keep vault_keys "$(date -u +%F):$(head -c 32 /dev/urandom | base64)"
# Letters and digits, as the NATS servers put theirs into a URL; a letter first, as NATS reads digits as a number.
keep redis_password "r$(random)"
keep nats_password "n$(random)"
for user in router quota translator gateway; do
    keep "redis_${user}_password" "r$(random)"
done
for user in edge router translator quota auth analytics dashboard gateway; do
    keep "nats_${user}_password" "n$(random)"
done
# The key that omniroute.yaml declares: what your programs send.
keep api_key "or-$(random)"
