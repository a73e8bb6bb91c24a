# Group: files
# Tries: names that break what reads them: newlines, escapes, options, other encodings, the longest ones.
# Idea: log and terminal injection, argument injection ("-rf"), and clients that assume UTF-8.
# Outcome: the host lists all of them, each as it is.
# Host: lists
import os

from attack import check

os.makedirs(b"/home/user/target", exist_ok=True)
names = [b"-rf", b"--help", b"a\nb", b"\x1b]0;title\x07", b"\xff\xfe", b"%s%n", b"$(id)", b"`id`", b"a" * 255, b"\\", b" "]
names += [b"..\xc0\xaf", "\u202egpj.exe".encode(), b"con", b"*", b"\r", b"'\"", b"<script>", b"\x7f", b"\xed\xa0\x80"]
for name in names:
    os.close(os.open(b"/home/user/target/" + name, os.O_CREAT))
check("all are there", len(os.listdir(b"/home/user/target")) == len(names))
