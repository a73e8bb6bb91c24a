"""The protoc of grpcio-tools, which makes the gRPC stubs wherever it makes the messages.

buf knows how to ask a protoc for messages only, and the generator of the stubs is not to be had as a plugin of its own.
"""

import sys

from grpc_tools import protoc

stubs = [a.replace("--python_", "--grpc_python_", 1) for a in sys.argv if a.startswith("--python_out=")]
sys.exit(protoc.main([*sys.argv, *stubs]))
