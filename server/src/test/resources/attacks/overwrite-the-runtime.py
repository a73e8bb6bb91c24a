# Group: runc
# Tries: write to the program that started all this, by /proc/PID/exe, and have the agent execute it anew.
# Idea: runc CVE-2019-5736: the runtime's binary on the host was overwritten when it entered a container.
# Outcome: no such file opens for writing; a script that names /proc/self/exe starts nothing of the host's.
import os
import subprocess

from attack import check, processes, refused

for pid in processes() + [1]:
    refused("exe of %d" % pid, lambda: os.open("/proc/%d/exe" % pid, os.O_WRONLY))
    for name in ("lib", "exe"):
        refused("append to %s of %d" % (name, pid), lambda: os.open("/proc/%d/%s" % (pid, name), os.O_WRONLY | os.O_APPEND))
with open("/home/user/script", "w") as file:
    file.write("#!/proc/self/exe\n")
os.chmod("/home/user/script", 0o755)
run = subprocess.run(["/home/user/script"], capture_output=True, timeout=5, stdin=subprocess.DEVNULL)
check("the script names no runtime", b"runc" not in run.stdout + run.stderr, run.stderr)
os.unlink("/home/user/script")
