# Group: races
# Tries: swap folders for links to others while the host removes a tree, so that it removes the wrong one.
# Idea: CVE-2018-15664 and the races of rm -r and of remove_dir_all (CVE-2022-21658).
# Outcome: what lies outside of the tree stays.
# Host: removes
import os
import time

from attack import check

os.makedirs("/home/user/kept/deep", exist_ok=True)
for name in ("one", "deep/two"):
    with open("/home/user/kept/" + name, "w") as file:
        file.write("kept")
end = time.monotonic() + 0.8
while time.monotonic() < end:
    try:
        os.makedirs("/home/user/target/in/deep", exist_ok=True)
        os.rename("/home/user/target/in", "/home/user/target/out")
        os.symlink("/home/user/kept", "/home/user/target/in")
        os.unlink("/home/user/target/in")
        os.rename("/home/user/target/out", "/home/user/target/in")
    except OSError:
        pass
try:
    names = sorted(os.listdir("/home/user/kept")) + os.listdir("/home/user/kept/deep")
except OSError as error:
    names = str(error)
check("what was beside it is there", names == ["deep", "one", "two"], names)
