"""Runs the first Python block of a README as it stands, but for the server's address and the key.

python readme.py README...
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys

EXPECTED = "42\nexit code 0\n"

for readme in sys.argv[1:]:
    with open(readme, encoding="utf-8") as file:
        block = re.search(r"^```python\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
    assert block, f"{readme} has no block of Python"
    code = block[1].replace("127.0.0.1:7400", os.environ["SANDKEEPER_TARGET"])
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, readme, "exec"), {"key": os.environ["SANDKEEPER_KEY"]})
    if out.getvalue() != EXPECTED:
        sys.exit(f"failed {readme}: expected {EXPECTED!r}, got {out.getvalue()!r}")
    print(f"ok the Python of {readme}")
