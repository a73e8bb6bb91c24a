# Sourced by the scripts of deploy/: finds the tools, and sees to it that nothing runs as root.
# shellcheck shell=bash

# The folder of the sources, and the script that sourced this.
root=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
script=$(readlink -f "$0")

readonly SANDKEEPER_USER=sandkeeper
readonly JDK=25

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$script")" "$*" >&2
  exit 1
}

# True for a folder with a JDK of the right version that this user can run.
is_jdk() {
  [ -n "$1" ] && [ -x "$1/bin/javac" ] && [ -r "$1/release" ] &&
    grep -q "^JAVA_VERSION=\"${JDK}[.\"+]" "$1/release"
}

# Sets JAVA_HOME to a JDK of the right version: the one it names, else the first of the usual places.
find_jdk() {
  local folder
  for folder in "${JAVA_HOME:-}" /usr/lib/jvm/* /usr/java/* /opt/java/* /opt/jdk* /opt/*jdk* \
    "$HOME"/.sdkman/candidates/java/* "$HOME"/.jdks/* \
    "$(dirname "$(dirname "$(readlink -f "$(command -v javac || echo /none/bin/javac)")")")"; do
    if is_jdk "$folder"; then
      export JAVA_HOME=$folder
      return
    fi
  done
  die "JDK $JDK is needed and was not found. On Debian 13 or newer: apt-get install openjdk-$JDK-jdk-headless." \
    "Elsewhere: unpack one, such as Eclipse Temurin (https://adoptium.net), and set JAVA_HOME to its folder." \
    "It must be readable by the user $SANDKEEPER_USER when this is run as root."
}

find_maven() {
  command -v mvn >/dev/null ||
    die "Maven 3.8.7 or newer is needed and was not found. On Debian: apt-get install maven."
}

# Runs Maven in place of this process. Inside the namespace the system calls this user root, whose
# home is somebody else's: Java has to be told which one it is.
exec_maven() {
  export MAVEN_OPTS="-Duser.home=$HOME --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED ${MAVEN_OPTS:-}"
  exec mvn -B -Dstyle.color=never "$@" </dev/null
}

# Goes on as an ordinary user inside the namespace launcher, with the same arguments; returns there.
# Root first sets up the machine and hands its sources over to a user who has no other purpose.
enter() {
  [ -z "${SANDKEEPER_INSIDE:-}" ] || return 0
  export SANDKEEPER_INSIDE=yes
  if [ "$(id -u)" -ne 0 ]; then
    exec "$root/deploy/lib/in-namespace" "$script" "$@"
  fi
  "$root/deploy/setup-host" --check "$SANDKEEPER_USER" 2>/dev/null ||
    "$root/deploy/setup-host" "$SANDKEEPER_USER" || exit 1
  local home
  home=$(getent passwd "$SANDKEEPER_USER" | cut -d: -f6)
  hand_over "$home"
  # Root's own folders are closed to that user.
  unset TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR XDG_STATE_HOME
  cd "$home/checkout" || exit 1
  exec "$home/checkout/deploy/lib/in-namespace" --user "$SANDKEEPER_USER" \
    "$home/checkout/${script#"$root/"}" "$@"
}

# Runs a command as the ordinary user. What root does in that user's home, it does with that user's
# rights only: nothing found there can lead root astray.
as_user() {
  # Not from root's present folder, which may be closed to that user.
  (cd / && exec setpriv --reuid="$SANDKEEPER_USER" --regid="$SANDKEEPER_USER" --init-groups \
    --inh-caps=-all -- "$@")
}

# The files that git tracks or would track; without git, all but what was built. NUL-terminated.
list_sources() {
  cd "$root" || return 1
  if [ -e .git ] && command -v git >/dev/null; then
    # Names of deleted files are still in the index.
    git -c safe.directory="$root" ls-files -z --cached --others --exclude-standard |
      while IFS= read -r -d '' file; do
        if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
      done
  else
    find . -name .git -prune -o -path './target' -prune -o -path './*/target' -prune -o \
      ! -type d -printf '%P\0'
  fi
}

# Makes the user's copy of the sources equal to these; what was built there stays.
hand_over() {
  local home=$1 copy=$1/checkout list
  list=$(mktemp)
  list_sources | LC_ALL=C sort -z >"$list"
  [ -s "$list" ] || die "no sources found in $root"
  as_user mkdir -p "$copy" "$home/.m2"
  as_user find "$copy" -path "$copy/target" -prune -o -path "$copy/*/target" -prune -o \
    ! -type d -printf '%P\0' | LC_ALL=C sort -z | LC_ALL=C comm -z -13 "$list" - |
    as_user env -C "$copy" xargs -0 -r rm -f --
  tar -C "$root" --null --no-recursion -T "$list" -cf - |
    as_user tar -C "$copy" --no-same-owner -xf -
  as_user find "$copy" -mindepth 1 -path "$copy/target" -prune -o -path "$copy/*/target" -prune -o \
    -type d -empty -exec rmdir -- {} +
  rm -f "$list"
  hand_over_maven "$home"
}

# Maven's settings (mirrors, proxies) hold for the handed-over build too, and what root has downloaded
# need not be downloaded again.
hand_over_maven() {
  local home=$1 file
  for file in settings.xml settings-security.xml toolchains.xml; do
    if [ -f "$HOME/.m2/$file" ]; then
      # shellcheck disable=SC2016  # For the inner shell to expand.
      as_user sh -c 'umask 077; cat >"$1"' sh "$home/.m2/$file" <"$HOME/.m2/$file"
    fi
  done
  if [ -d "$HOME/.m2/repository" ] && [ ! -d "$home/.m2/repository" ]; then
    say "Copying what Maven has downloaded already"
    as_user mkdir -p "$home/.m2/repository.part"
    tar -C "$HOME/.m2/repository" -cf - . |
      as_user tar -C "$home/.m2/repository.part" --no-same-owner -xf -
    as_user mv "$home/.m2/repository.part" "$home/.m2/repository"
  fi
}
