"""Runs a piece of code in a sandbox of a server on this machine, and says what it cost.

KEY=sk_... python run_code.py
"""

import os
import sys

from sandkeeper import Client, QuotaExceededError

with Client(os.environ.get("TARGET", "127.0.0.1:7400"), os.environ["KEY"], plaintext=True) as client:
    try:
        sandbox = client.create_sandbox(timeout=120).sandbox_id
    except QuotaExceededError as refusal:
        sys.exit(f"{refusal.remaining_nano_usd} nano-USD are left until {refusal.reset_time}")
    client.upload(sandbox, "table.csv", b"a,b\n1,2\n")
    with client.execute(sandbox, code="print(open('table.csv').read())") as stream:
        for event in stream:
            if event.HasField("stdout"):
                sys.stdout.write(event.stdout.data.decode())
            elif event.HasField("finished"):
                print("exit code", event.finished.exit_code)
    client.terminate_sandbox(sandbox)
    print("cost in nano-USD:", client.get_usage(sandbox).cost_nano_usd)
