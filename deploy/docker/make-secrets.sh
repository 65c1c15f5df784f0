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
# A letter first: NATS reads a password of digits as a number.
keep redis_password "r$(random)"
keep nats_password "n$(random)"
# The key that deploy/docker/config/omniroute.yaml declares: what your programs send.
keep api_key "or-$(random)"
# Who logs in to Grafana (profile observability) is `admin` with this.
keep grafana_password "$(random)"
