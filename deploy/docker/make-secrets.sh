#!/bin/sh
# Makes the secret files that docker-compose.yml mounts, in deploy/docker/secrets (git-ignored). What is there is kept.
#
# The folder is yours alone; the files in it are readable to all, because compose mounts them as they are and the
# containers run as a user of their own. Nobody on this machine gets past the folder.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
chmod 700 secrets

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

keep() { # name, content
    if [ ! -s "secrets/$1" ]; then
        printf '%s\n' "$2" > "secrets/.$1"
        chmod 444 "secrets/.$1"
        mv "secrets/.$1" "secrets/$1"
        echo "made deploy/docker/secrets/$1"
    fi
}

keep service_token "$(random)"
# What auth signs configurations with, and by what the others know them: a pair.
if [ ! -s "secrets/config_signing_key" ]; then
    if ! made=$(openssl genpkey -algorithm ed25519 2>/dev/null); then
        echo "openssl cannot make an Ed25519 key here: 'omniroute signing-key create --out deploy/docker/secrets' can" >&2
        exit 1
    fi
    keep config_signing_key "$made"
fi
if [ ! -s "secrets/config_public_keys" ]; then
    made=$(openssl pkey -pubout -in "secrets/config_signing_key")
    keep config_public_keys "$made"
fi
# What auth seals providers' credentials with. Keep a copy: no backup has it, and nothing sealed opens without it.
keep vault_keys "$(date -u +%F):$(head -c 32 /dev/urandom | base64)"
# A letter first: NATS reads a password of digits as a number.
keep redis_password "r$(random)"
keep nats_password "n$(random)"
for user in router quota translator gateway; do
    keep "redis_${user}_password" "r$(random)"
done
for user in edge router translator quota auth analytics dashboard gateway; do
    keep "nats_${user}_password" "n$(random)"
done
# The key that deploy/docker/config/omniroute.yaml declares: what your programs send.
keep api_key "or-$(random)"
# Who logs in to Grafana (profile observability) is `admin` with this.
keep grafana_password "$(random)"
