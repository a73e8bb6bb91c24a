# Group: files
# Tries: read and write a file of the host by its path, through links of /proc and by climbing out of the root.
# Idea: the first thing anybody tries; Judge0 (CVE-2024-28189) and dify-sandbox had roots that could be left.
# Outcome: there is no such path, whichever way it is spelled.
import glob
import os

from attack import check, host, refused

secret = host("FILE")
ways = [secret, "/.." * 20 + secret, "/proc/self/root" + secret, "/proc/self/cwd" + "/.." * 20 + secret]
ways += ["/proc/1/root" + secret, "/proc/%s/root%s" % (host("PID"), secret), "/proc/thread-self/root" + secret]
ways += [path + secret for path in glob.glob("/proc/[0-9]*/task/*/root")]
for way in ways:
    refused("read " + way, lambda: open(way).read())
    refused("write " + way, lambda: os.open(way, os.O_WRONLY))
root = os.open("/", os.O_RDONLY)
refused("from the root's descriptor", lambda: os.open("../../.." + secret, os.O_RDONLY, dir_fd=root))
check("the root is its own parent", os.stat("/").st_ino == os.stat("/..").st_ino)
refused("chroot", lambda: os.chroot("/tmp"))
