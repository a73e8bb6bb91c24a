# Group: files
# Tries: become another user by set-user-id programs, one's own and the host's, and by capabilities in files.
# Idea: isolate and Judge0 are set-user-id root themselves; sudo and pkexec (CVE-2021-4034) were ways up for years.
# Outcome: programs run as who starts them.
import glob
import os
import shutil
import subprocess

from attack import check, held, refused

shutil.copy("/usr/bin/id", "/tmp/id")
os.chmod("/tmp/id", 0o6755)
seen = subprocess.run(["/tmp/id", "-u"], capture_output=True, text=True).stdout
check("one's own program", seen.strip() in ("1000", ""), seen)
rights = b"\x01\0\0\x02" + b"\xff" * 8 + b"\0" * 8
refused("capabilities in a file", lambda: os.setxattr("/tmp/id", "security.capability", rights))
refused("a file given to root", lambda: os.chown("/tmp/id", 0, 0))
os.unlink("/tmp/id")
special = [path for path in glob.glob("/usr/*bin/*") if os.path.exists(path) and os.stat(path).st_mode & 0o6000]
for path in special:
    # Started and at once ended: the rights would be there from the start.
    started = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with open("/proc/%d/status" % started.pid) as status:
            ids = [line.split()[1:] for line in status if line.startswith(("Uid", "Gid", "CapEff"))]
    except OSError:
        # Its files would be root's if it were.
        ids = []
    started.kill()
    started.wait()
    check(path, all(set(values) <= {"1000", "0" * 16} for values in ids), ids)
held("%d such programs" % len(special))
check("still who one was", os.getresuid() == (1000, 1000, 1000) and os.getresgid() == (1000, 1000, 1000))
