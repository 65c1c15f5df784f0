#!/bin/sh
# redis-server with the users of the users.acl beside this file, each with the hash of the password in its secret file:
#
#   start.sh CONFIG SECRETS SCRATCH [MORE]
#
# SECRETS has redis_password, the admin's, and redis_<user>_password of each other. SCRATCH is a folder of ours alone.
set -eu
config=$1 secrets=$2 scratch=$3
shift 3
umask 077
while read -r line; do
    case $line in
        '#'*) continue ;;
        *' #password '*)
            user=${line#user }
            user=${user%% *}
            file=$secrets/redis_${user}_password
            [ "$user" != admin ] || file=$secrets/redis_password
            # Apart from the hash: of a pipe only the last command's failure counts, and nothing has a hash as well.
            word=$(tr -d '\r\n' < "$file") || { echo "$file cannot be read" >&2; exit 1; }
            [ -n "$word" ] || { echo "$file is empty: it must hold the password of $user" >&2; exit 1; }
            hash=$(printf '%s' "$word" | sha256sum)
            line="${line%%' #password '*} #${hash%% *} ${line#*' #password '}"
            ;;
    esac
    printf '%s\n' "$line"
done < "$(dirname "$0")/users.acl" > "$scratch/users.acl"
exec redis-server "$config" --aclfile "$scratch/users.acl" "$@"
