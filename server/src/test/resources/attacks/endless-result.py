# Group: engine
# Tries: be a result that never ends, or is larger than anything: as text, as MIME data, as an error.
# Idea: reprs are code of the user's that runs in the interpreter's own part.
# Outcome: cut or refused; the execution ends by itself or at its deadline.
# Sandbox: own
# Runs: as a cell
# Ends: COMPLETED, LOST, SIGNALED, DEADLINE, OUT_OF_MEMORY
# Deadline: 8
print("held: it begins", flush=True)


class Huge(dict):
    def __repr__(self):
        return "x" * (100 << 20)

    def _repr_html_(self):
        return "<b>" * (30 << 20)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/%d" % number: "x" * 100000 for number in range(1000)}

    def __str__(self):
        raise SystemExit(self)

    def __getattr__(self, name):
        if name == "_repr_png_":
            return lambda: b"\xff" * (10 << 20)
        raise AttributeError("x" * (10 << 20))


Huge()
