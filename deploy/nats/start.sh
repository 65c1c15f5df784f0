#!/bin/sh
# nats-server with the passwords of its users, from secret files called nats_password and nats_<user>_password, in the
# environment, where permissions.conf looks for them:
#
#   start.sh SECRETS CONFIG [MORE]
set -eu
secrets=$1 config=$2
shift 2
for file in "$secrets"/nats_password "$secrets"/nats_*_password; do
    word=$(cat "$file")
    [ -n "$word" ] || { echo "$file is empty: it must hold a password" >&2; exit 1; }
    name=$(basename "$file" | tr '[:lower:]' '[:upper:]')
    export "$name=$word"
done
exec nats-server --config "$config" "$@"
