#!/bin/sh
# Run by the engine in a mount namespace of its own, which ends with this script: gives a sandbox
# its root folder and starts it. The sandbox keeps the mounts; nothing is left to unmount.
#
#   launch.sh SIZE_MIB INODES USER_ID SKELETON LINK RUNTIME [ARGUMENT...]
set -eu
size=$1 inodes=$2 user=$3 skeleton=$4 link=$5
shift 5
# In place of /mnt, where the sandbox's own root may pass: the state folder is closed to it.
root=/mnt
mount -t tmpfs -o "size=${size}m,nr_inodes=$inodes,mode=755,nosuid,nodev" sandkeeper "$root"
cp -a "$skeleton/." "$root/"
chown "$user:$user" "$root/home/user"
mount --bind -o ro,nosuid,nodev,noexec "$link" "$root/run/sandkeeper"
exec "$@"
