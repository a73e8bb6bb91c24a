# shellcheck shell=bash
# Group: memory
# Tries: take all memory there is, in several processes at once, some that look small.
# Idea: the second oldest one.
# Outcome: it ends at the sandbox's limit, and only there.
# Sandbox: own
# Ends: OUT_OF_MEMORY, COMPLETED, SIGNALED
# Deadline: 15
echo "held: it begins"
for _ in 1 2 3 4; do
  python3 -c '
x = []
while True:
    x.append(bytearray(1 << 20))' 2>/dev/null &
done
exec python3 -c 'x = bytearray(1 << 30)'
