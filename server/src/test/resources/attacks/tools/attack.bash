# What the attack scripts share: the same words as in attack.py.
# shellcheck shell=bash

held() { printf 'held: %s\n' "$*"; }
broken() { printf 'BROKEN: %s\n' "$*"; }

# refused WHAT COMMAND...: expects that a command fails.
refused() {
  local what=$1
  shift
  if "$@" >/dev/null 2>&1; then broken "$what"; else held "$what"; fi
}
