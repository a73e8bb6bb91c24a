"""Errors as Connect names them, raised by the daemon's services."""

STATUSES = {
    "invalid_argument": 400, "failed_precondition": 400, "out_of_range": 400, "unauthenticated": 401,
    "permission_denied": 403, "not_found": 404, "already_exists": 409, "aborted": 409, "resource_exhausted": 429,
    "internal": 500, "unknown": 500, "data_loss": 500, "unimplemented": 501, "unavailable": 503,
    "deadline_exceeded": 504,
}


class CallError(Exception):
    """A call that failed with one of Connect's codes."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message
