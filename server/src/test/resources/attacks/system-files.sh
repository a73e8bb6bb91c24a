# shellcheck shell=bash
# Group: files
# Tries: change, replace, rename and link over files of the system, and the agent's own.
# Idea: what every sandbox that binds the host's /usr has to get right; Judge0 let a job write where root reads.
# Outcome: all is read-only or somebody else's.
# shellcheck source=server/src/test/resources/attacks/tools/attack.bash
source "$(dirname "$0")/attack.bash"
for path in /usr/bin/python3 /usr/lib /etc/passwd /etc/hosts /opt/sandkeeper /bin /usr/sbin; do
  refused "append to $path" sh -c "echo x >>$path"
  refused "make a file in $path" sh -c "echo x >$path/new"
  refused "rename $path" mv "$path" /tmp/taken
  # Where looking at files is slow, as long as it takes to be refused many.
  refused "remove $path" timeout 1 rm -rf --one-file-system "$path"
  refused "change the mode of $path" chmod 777 "$path"
  refused "take $path" chown user "$path"
  refused "date $path" touch -d 2001-01-01 "$path"
  refused "truncate $path" truncate -s 0 "$path/."
done
refused "a program for everybody" cp /bin/true /usr/local/bin/ls
refused "a library for every program" sh -c 'echo /tmp/evil.so >/etc/ld.so.preload'
refused "a place for libraries" sh -c 'echo /tmp >/etc/ld.so.conf.d/evil.conf'
refused "a file at the top" touch /file
refused "a mount put aside" umount -l /usr
exit 0
