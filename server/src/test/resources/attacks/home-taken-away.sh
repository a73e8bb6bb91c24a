# shellcheck shell=bash
# Group: engine
# Tries: take away what later calls stand on: the home, its rights, the temporary folders.
# Idea: cleaners and copiers that run with more rights trip over what the job left (isolate's /box).
# Outcome: later calls work or say what is wrong.
# Sandbox: own
# Next: may be refused
# shellcheck source=server/src/test/resources/attacks/tools/attack.bash
source "$(dirname "$0")/attack.bash"
refused "another home" mv /home/user /home/other
refused "a link for a home" ln -sfT /etc /home/user
refused "no /tmp" rmdir /tmp
refused "/tmp renamed" mv /tmp /tmp2
refused "/tmp closed" chmod 0 /tmp
rm -rf /home/user/.[!.]* 2>/dev/null
mkdir -p /home/user/locked/in && chmod 0 /home/user/locked
chmod 0 /home/user
cd /
held "the home is closed"
exit 0
