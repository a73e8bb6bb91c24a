# Sourced by the scripts of deploy/ after prepare.bash: builds, starts and stops the server.
# shellcheck shell=bash
# shellcheck disable=SC2154  # root is set by prepare.bash.

server_jar=$root/server/target/server.jar
client_jar=$root/client-java/target/client-java-0.1.0-SNAPSHOT.jar
bench_jar=$root/deploy/bench-runner/target/bench.jar
aot_folder=$root/target/aot
readonly JAVA_FLAGS=(--enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow)

# The processes this script started and has not seen end.
server_pid=
task_pid=

# Where the server that runs writes what the JVM learned about its classes; empty when it does not.
learning=

# Stops what was started; on every way out.
stop_all() {
  local pid
  if [ -n "$server_pid" ] && [ -n "$learning" ]; then say "Stopping; this once it takes longer, so that the next start is faster"; fi
  for pid in "$task_pid" "$server_pid"; do
    if [ -n "$pid" ]; then
      kill -TERM "$pid" 2>/dev/null || true
      wait "$pid" 2>/dev/null || true
    fi
  done
  task_pid=
  server_pid=
  # Under its own name only when it is whole.
  if [ -n "$learning" ] && [ -f "$learning" ]; then mv -f "$learning" "${learning%.*.part}"; fi
  learning=
}

# Runs a command that a signal to this script ends too: bash handles signals while it waits, not while a
# command runs in the foreground.
run_task() {
  local result=0
  "$@" &
  task_pid=$!
  wait "$task_pid" || result=$?
  task_pid=
  return "$result"
}

# A word that changes when anything does that the built jars depend on.
build_stamp() {
  {
    echo "$JAVA_HOME"
    find "$root"/pom.xml "$root"/*/pom.xml "$root"/proto/src "$root"/sql "$root"/jooq-gen/src \
      "$root"/server/src/main "$root"/client-java/src/main "$root"/deploy/bench-runner/pom.xml \
      "$root"/deploy/bench-runner/src/main -type f -printf '%P %s %T@\n' |
      LC_ALL=C sort
  } | sha256sum
}

# Builds server, client and benchmarks unless nothing changed since the last time.
build() {
  local stamp_file=$root/target/quickstart.stamp log=$root/target/quickstart-build.log stamp
  mkdir -p "$root/target"
  exec {build_lock}>"$root/target/build.lock"
  flock "$build_lock"
  stamp=$(build_stamp)
  if [ ! -f "$server_jar" ] || [ ! -f "$client_jar" ] || [ ! -f "$bench_jar" ] ||
    [ "$(cat "$stamp_file" 2>/dev/null)" != "$stamp" ]; then
    say "Building; the first time downloads the libraries and takes some minutes"
    rm -f "$stamp_file"
    if ! compile "$log"; then
      grep -E '^\[ERROR\]|^\[FATAL\]' "$log" | head -20 >&2
      die "the build failed; all of its output is in $log"
    fi
    printf '%s\n' "$stamp" >"$stamp_file"
  fi
  exec {build_lock}>&-
}

compile() {
  local out progress result=0
  exec {out}> >(tee "$1" | show_progress)
  progress=$!
  run_task exec_maven -Dmaven.test.skip=true package >&"$out" 2>&1 || result=$?
  exec {out}>&-
  wait "$progress" || true
  return "$result"
}

# One line for each module, and one for each hundred downloads.
show_progress() {
  awk '
    /^Downloaded from/ { if (++files % 100 == 0) { print "  " files " files downloaded"; fflush() } }
    /^\[INFO\] Building .*\[[0-9]+\/[0-9]+\]$/ { sub(/^\[INFO\] /, "  "); print; fflush() }'
}

# Sets aot_flags: the JVM starts from what it learned in an earlier run of the same build, or learns it in
# this one. Without the cache, or when it does not fit, the server only starts more slowly.
find_aot_cache() {
  local stamp cache
  # The JVM takes a cache for the very jars only that it was made with.
  read -r stamp _ < <(stat -c '%n %s %y' "$server_jar" "$root"/server/target/lib/*.jar | sha256sum)
  cache=$aot_folder/server-${stamp:0:16}.aot
  aot_flags=("-Xlog:aot*=off")
  if [ -f "$cache" ]; then
    aot_flags+=(-XX:AOTCache="$cache")
  else
    mkdir -p "$aot_folder"
    rm -f "$aot_folder"/server-*.aot*
    learning=$cache.$$.part
    aot_flags+=(-XX:AOTCacheOutput="$learning")
  fi
}

# In a heap this small one thread collects what is young faster than G1 begins to, and its room is written to once
# and then used again: the process does not grow with what passes through it.
readonly HEAP_FLAGS=(-Xmx512m -XX:+UseSerialGC -Xmn64m)

# Sets server_command: the program that is the server, as it is shipped, for the data folder that the environment names.
find_server_command() {
  local aot_flags
  find_aot_cache
  server_command=("$root/deploy/lib/confine")
  # Only while it learns can it write to what the next one starts from.
  if [ -n "$learning" ]; then server_command+=(--writable "$aot_folder"); fi
  # It dies with who started it, however that ends. Java does not know TMPDIR.
  # shellcheck disable=SC2016  # For the inner shell.
  server_command+=(setpriv --pdeathsig TERM sh -c 'exec "$0" -Djava.io.tmpdir="$TMPDIR" "$@"'
    "$JAVA_HOME/bin/java" "${JAVA_FLAGS[@]}" "${aot_flags[@]}" "${HEAP_FLAGS[@]}"
    -cp "$server_jar:$root/server/target/lib/*" dev.sandkeeper.server.Main)
}

# Starts the server with its data in a folder and waits until it serves.
#   start_server PORT DATA_FOLDER LOG
start_server() {
  local port=$1 data=$2 log=$3 server_command
  if answers "$port"; then
    die "something listens on port $port already; give another by --port"
  fi
  find_server_command
  SANDKEEPER_SERVER_HOST=127.0.0.1 SANDKEEPER_SERVER_PORT=$port SANDKEEPER_DATA_FOLDER=$data \
    SANDKEEPER_BOOTSTRAP_KEY_FILE=$data/admin-key \
    "${server_command[@]}" </dev/null >"$log" 2>&1 &
  server_pid=$!
  local waited=0
  until serving "$port"; do
    if ! kill -0 "$server_pid" 2>/dev/null; then
      server_pid=
      tail -n 5 "$log" >&2
      die "the server did not start; its log is $log"
    fi
    [ "$waited" -lt 600 ] || die "the server did not serve within a minute; its log is $log"
    waited=$((waited + 1))
    sleep 0.1
  done
}

# Shows the main job on the server of a port and a data folder.
tour() {
  run_task "$JAVA_HOME/bin/java" "${JAVA_FLAGS[@]}" -Xmx256m \
    -cp "$client_jar:$root/client-java/target/lib/*" dev.sandkeeper.client.tour.Tour \
    "127.0.0.1:$1" "$2/admin-key"
}

# True when something accepts connections on a port of this machine.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# True when the server's health check says that it serves.
serving() {
  local status request='GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
  if [ -n "${SANDKEEPER_SERVER_TLS_CERTIFICATE_FILE:-}" ]; then
    # shellcheck disable=SC2059  # The request is the format.
    status=$(printf "$request" | timeout 5 openssl s_client -quiet -verify_return_error \
      -CAfile "$SANDKEEPER_SERVER_TLS_CERTIFICATE_FILE" -connect "127.0.0.1:$1" | head -n 1)
    [[ $status == "HTTP/1.1 200"* ]]
    return
  fi
  {
    # shellcheck disable=SC2059
    printf "$request" >&3 &&
      IFS= read -r -t 5 status <&3 && [[ $status == "HTTP/1.1 200"* ]]
  } 3<>"/dev/tcp/127.0.0.1/$1"
} 2>/dev/null
