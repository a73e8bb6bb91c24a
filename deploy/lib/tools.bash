# Sourced by the scripts of deploy/ after prepare.bash: finds what the clients of other languages are built with.
# shellcheck shell=bash

# Runs a command as the user who will build: root asks as an ordinary user, who cannot see root's own folders.
as_builder() {
  if [ "$(id -u)" -eq 0 ] && [ -z "${SANDKEEPER_INSIDE:-}" ]; then
    # By env: setpriv itself would look for the command while it still has root's right to open every folder.
    (cd / && setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all -- env -- "$@")
  else
    "$@"
  fi
}

# need WHAT PACKAGES CHECK...: makes sure that a check holds, by Debian's packages where root may install them.
need() {
  local what=$1 packages=$2
  shift 2
  ! as_builder "$@" >/dev/null 2>&1 || return 0
  if [ "$(id -u)" -eq 0 ] && [ -z "${SANDKEEPER_INSIDE:-}" ] && command -v apt-get >/dev/null; then
    say "Installing $packages"
    # shellcheck disable=SC2086  # They are words.
    if apt-get install -y --no-install-recommends $packages >/dev/null 2>&1 &&
      as_builder "$@" >/dev/null 2>&1; then
      return 0
    fi
  fi
  die "$what is needed and was not found, or is older (Debian: $packages)."
}

need_python() {
  need "Python 3.10 or newer with venv" "python3 python3-venv" \
    python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))'
}

# Of the Python that sandboxes have, which is the one in /usr.
need_numpy() {
  need "numpy, which contexts have loaded," python3-numpy /usr/bin/python3 -c 'import numpy'
}

need_node() {
  # shellcheck disable=SC2016  # For the inner shell.
  need "Node.js 20 or newer with npm" "nodejs npm" \
    sh -c 'npm --version && [ "$(node -p "process.versions.node.split(\".\")[0]")" -ge 20 ]'
}

need_go() {
  # Where Go's own archives go, which few put on everybody's PATH.
  export PATH=$PATH:/usr/local/go/bin
  # shellcheck disable=SC2016
  need "Go 1.25 or newer" "golang-go" \
    sh -c 'printf "%s\n" go1.25 "$(go env GOVERSION)" | sort --version-sort --check'
}
