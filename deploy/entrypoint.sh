#!/bin/sh
# What the image calls strongroom: started as root it gives root up for PUID:PGID; then it becomes the program.
set -eu

self=$(readlink -f -- "$0")
program=${self%/deploy/*}/bin/strongroom

refuse() {
  echo "strongroom: $2" >&2
  exit "$1" # the program's own exit codes
}

[ "$(id -u)" -eq 0 ] || exec "$program" "$@"

user=${PUID:-99} group=${PGID:-100} # nobody:users, who own the shares on Unraid
for id in "$user" "$group"; do
  case $id in
    0* | *[!0-9]*)
      refuse 78 "PUID and PGID must be numbers from 1 up, for example 99 and 100; they are '$user' and '$group'"
      ;;
  esac
done
as_user="setpriv --reuid $user --regid $group --clear-groups --inh-caps=-all --no-new-privs --"
$as_user true 2>/dev/null ||
  refuse 77 "root, but without the right to become $user:$group; start with --user $user:$group, or with the capabilities SETUID and SETGID"
exec $as_user "$program" "$@"
