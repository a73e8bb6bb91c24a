# Group: engine
# Tries: have code run by what starts later, with more rights: start-up files of Python, Bash, Node.js, libraries, PATH.
# Idea: sandbox-runtime guards .bashrc and git hooks; dify-sandbox was left by a poisoned library folder.
# Outcome: what runs of it runs as the user without a right, and the agent runs none of it.
# Sandbox: own
# After: yes
import os
import sys

from attack import check, held

LOG = "/home/user/poisoned"
if sys.argv[1:] == ["after"]:
    with open(LOG) as log:
        lines = [line.split() for line in log if line.strip()]
    wrong = [line for line in lines if line[0] != "1000" or set(line[1]) - {"0"}]
    check("%d times as the user without rights" % len(lines), not wrong, wrong)
    sys.exit()
record = "uid=$(id -u); cap=$(grep CapEff /proc/self/status | cut -f2); echo $uid $cap >>%s\n" % LOG
python = "import os\nwith open('/proc/self/status') as s: cap = [l.split()[1] for l in s if l[:6] == 'CapEff'][0]\n"
python += "with open(%r, 'a') as log: print(os.geteuid(), cap, file=log)\n" % LOG
open(LOG, "w").close()
os.chmod(LOG, 0o666)
site = "/home/user/.local/lib/python%d.%d/site-packages" % sys.version_info[:2]
os.makedirs(site, exist_ok=True)
os.makedirs("/home/user/.local/bin", exist_ok=True)
for path in (site + "/sitecustomize.py", site + "/usercustomize.py", "/home/user/.pythonrc", "/home/user/json.py", "/tmp/_signal.py"):
    with open(path, "w") as file:
        file.write(python)
with open(site + "/evil.pth", "w") as file:
    file.write("import sitecustomize\n")
for name in (".bashrc", ".profile", ".bash_profile", ".bash_login", ".bash_logout", ".bash_env", ".inputrc"):
    with open("/home/user/" + name, "w") as file:
        file.write(record)
for name in ("sandkeeper", "agent", "setsid", "env"):
    with open("/home/user/.local/bin/" + name, "w") as file:
        file.write("#!/bin/sh\n" + record)
    os.chmod("/home/user/.local/bin/" + name, 0o755)
for folder, name in (("/home/user/.config/pip", "pip.conf"), ("/home/user", ".npmrc"), ("/home/user", ".gitconfig")):
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/" + name, "w") as file:
        file.write("[core]\n  pager = touch /tmp/pager\n")
held("laid out")
