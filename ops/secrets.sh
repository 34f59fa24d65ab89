#!/bin/sh
# Makes the secrets of docker-compose.yml in ops/secrets/, each once: those that are there stay.
# The files are readable by all, because the containers' users are not yours; the directory is yours alone.
set -eu

directory=$(dirname "$0")/secrets
umask 077
mkdir -p "$directory"
umask 022

make() {
    [ -e "$directory/$1" ] || printf '%s' "$2" > "$directory/$1"
}

random() {
    od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'
}

make database_password "$(random 24)"
make broadcast_database_url "postgresql://broadcast:$(cat "$directory/database_password")@postgres:5432/broadcast"
make broadcast_number_hash_key "$(random 32)"
make smsc_password "$(random 4)"
make grafana_password "$(random 12)"
echo "$directory: $(ls "$directory" | tr '\n' ' ')"
