#!/bin/sh
# Run by the engine in a mount namespace of its own, which ends with this script: gives a sandbox
# its root folder and starts it. The sandbox keeps the mounts; nothing is left to unmount.
#
#   launch.sh SIZE_MIB INODES USER_ID SKELETON LINK [GROUP...] -- RUNTIME [ARGUMENT...]
#
# Each GROUP is the file by which a control group is entered, which the runtime then leaves as it is.
set -eu
size=$1 inodes=$2 user=$3 skeleton=$4 link=$5
shift 5
while [ "$1" != -- ]; do
  echo 0 >"$1"
  shift
done
shift
# In place of /mnt, where the sandbox's own root may pass: the state folder is closed to it.
root=/mnt
mount -t tmpfs -o "size=${size}m,nr_inodes=$inodes,mode=755,nosuid,nodev" sandkeeper "$root"
cp -a "$skeleton/." "$root/"
chown "$user:$user" "$root/home/user"
mount --bind -o ro,nosuid,nodev,noexec "$link" "$root/run/sandkeeper"
# gVisor takes the folder of temporary files as its root, as a user who may not enter the server's own.
unset TMPDIR
exec "$@"
