package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.guest.Guest;
import dev.sandkeeper.server.engine.guest.GuestPrograms;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * Puts our agent into sandboxes of E2B's and starts it there: two calls for a sandbox. It runs
 * under a user id of its own, with the rights that the local engine gives it.
 */
final class E2bAgent {
  static final String TAG = "sandkeeper-agent";

  private static final String RELAY = "sandkeeper_link.py";
  private static final String ROOT = "root";
  private static final String AGENT_ID = Integer.toString(Guest.AGENT_ID);
  private static final String FOLDER = "/run/sandkeeper";
  private static final String PROGRAMS = GuestPrograms.FOLDER;
  private static final String ARCHIVE = PROGRAMS + "/programs.zip";
  private static final String LOG = FOLDER + "/agent.log";
  private static final String STARTED = "started\n";
  private static final List<Language> INTERPRETED =
      List.of(Language.JAVASCRIPT, Language.TYPESCRIPT, Language.JAVA, Language.R);

  private static final int MAX_SAID_BYTES = 4 * 1024;
  private static final int MAX_LOG_BYTES = 400;

  /** In many images Python is not where the system's own programs are. */
  static final String PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";

  /** Its arguments are those of the agent. It can be run again: only the first starts the agent. */
  static final String SCRIPT =
      PATH
          + """
          set -eu
          missing=
          for name in python3 setpriv; do
            command -v "$name" >/dev/null || missing="$missing $name"
          done
          if [ -n "$missing" ]; then
            echo "the template lacks:$missing" >&2
            exit 1
          fi
          python=$(command -v python3)
          setpriv=$(command -v setpriv)
          node=$(command -v node || true)
          typescript=
          for folder in /usr/local/lib/node_modules /usr/lib/node_modules /usr/share/nodejs; do
            module=$folder/typescript/lib/typescript.js
            if [ -n "$node" ] && [ -z "$typescript" ] && [ -f "$module" ]; then
              typescript=$module
            fi
          done
          java=$(command -v java || true)
          if [ -n "$java" ]; then
            release=$(dirname "$(dirname "$(readlink -f "$java")")")/release
            if ! grep -q '^MODULES=.*jdk[.]jshell' "$release" 2>/dev/null ||
              ! grep -Eq '^JAVA_VERSION="(1[7-9]|[2-9][0-9])' "$release"; then
              java=
            fi
          fi
          r=$(command -v R || true)
          umask 022
          mkdir -p @FOLDER@ @PROGRAMS@
          chmod 0711 @FOLDER@
          [ -d @HOME@ ] || { mkdir -p @HOME@; chown @USER@:@USER@ @HOME@; }
          "$python" -I -S -c '
          import sys
          if sys.version_info < (3, 9):
              sys.exit("the python3 of the template is older than 3.9: " + sys.version.split()[0])
          import zipfile
          zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])
          ' @ARCHIVE@ @PROGRAMS@
          if mkdir @FOLDER@/started 2>/dev/null; then
            ulimit -c 0
            ulimit -n 4096
            printf '%s\\n' "$node" "$typescript" "$java" "$r" started
            exec env -i PATH=/usr/bin:/bin "$setpriv" --reuid=@AGENT@ --regid=@AGENT@ \\
              --clear-groups --no-new-privs --inh-caps=-all,+kill,+setuid,+setgid \\
              --ambient-caps=-all,+kill,+setuid,+setgid \\
              --bounding-set=-all,+kill,+setuid,+setgid \\
              "$python" -I -S @PROGRAMS@/agent.py "$@" "$node" "$typescript" "$java" "$r" </dev/null >>@LOG@ 2>&1
          fi
          printf '%s\\n' "$node" "$typescript" "$java" "$r" started
          """
              .replace("@FOLDER@", FOLDER)
              .replace("@PROGRAMS@", PROGRAMS)
              .replace("@ARCHIVE@", ARCHIVE)
              .replace("@AGENT@", AGENT_ID)
              .replace("@USER@", Integer.toString(Guest.USER_ID))
              .replace("@HOME@", Guest.HOME)
              .replace("@LOG@", LOG);

  private final byte[] archive;

  /** Packs what the agent consists of, for all sandboxes. */
  E2bAgent() {
    this.archive = pack();
  }

  private static byte[] pack() {
    Map<String, byte[]> all = new TreeMap<>(GuestPrograms.sources());
    try (InputStream relay = E2bAgent.class.getResourceAsStream(RELAY)) {
      if (relay == null) {
        throw new IllegalStateException("the resource " + RELAY + " is not packed with the engine");
      }
      all.put(RELAY, relay.readAllBytes());
      ByteArrayOutputStream bytes = new ByteArrayOutputStream();
      try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
        for (Map.Entry<String, byte[]> program : all.entrySet()) {
          zip.putNextEntry(new ZipEntry(program.getKey()));
          zip.write(program.getValue());
        }
      }
      return bytes.toByteArray();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Puts the agent in place and starts it, unless that was done before. It dials the engine as soon
   * as there is a link, and until then tries again and again.
   *
   * @param arguments the agent's, as its head says, without the interpreters
   * @return the languages that the template has interpreters for
   * @throws E2bException also when the template lacks what the agent needs
   */
  Set<Language> start(Envd envd, List<String> arguments) {
    envd.upload(ARCHIVE, ROOT, archive);
    List<String> all = new ArrayList<>(List.of("-c", SCRIPT, "sh"));
    all.addAll(arguments);
    Said said = run(envd, all, TAG, STARTED);
    if (!said.output().endsWith(STARTED)) {
      throw E2bException.streamEnded(
          E2bException.Kind.REFUSED,
          "",
          HttpCalls.line("the agent cannot be started: " + said.errors()).strip());
    }
    return languages(said.output().split("\n", -1));
  }

  /** Reads which interpreters were found, in the order of {@link #INTERPRETED}. */
  private static Set<Language> languages(String[] interpreters) {
    Set<Language> languages = EnumSet.of(Language.PYTHON, Language.BASH);
    for (int i = 0; i < INTERPRETED.size() && i < interpreters.length; i++) {
      if (!interpreters[i].isEmpty()) {
        languages.add(INTERPRETED.get(i));
      }
    }
    return languages;
  }

  /** Returns the end of what the agent wrote of itself, for when it does not answer. */
  String log(Envd envd) {
    String script = PATH + "tail -c " + MAX_LOG_BYTES + " " + LOG;
    return run(envd, List.of("-c", script), "sandkeeper-log", "").output();
  }

  /** Returns what serves the agent's sockets and is spoken to by {@link E2bLink}. */
  static Envd.Command relay(E2bSettings.LinkTimes times) {
    String script = PATH + "exec env -i \"$(command -v python3)\" -I -S \"$@\"";
    String silence = Long.toString(times.silence().toMillis());
    return new Envd.Command(
        "/bin/sh",
        List.of("-c", script, "sh", PROGRAMS + "/" + RELAY, FOLDER, AGENT_ID, silence),
        Map.of());
  }

  /** The beginning of what a program wrote. */
  private record Said(String output, String errors) {}

  /**
   * Runs a program of the shell's.
   *
   * @param until when it has written this, it goes on by itself; empty to wait for its end
   */
  private static Said run(Envd envd, List<String> arguments, String tag, String until) {
    StringBuilder output = new StringBuilder();
    StringBuilder errors = new StringBuilder();
    Envd.Command command = new Envd.Command("/bin/sh", arguments, Map.of());
    try (ProcessStream stream = envd.start(command, ROOT, tag, false)) {
      Optional<ProcessEvent> event = stream.next();
      while (event.isPresent()) {
        switch (event.get()) {
          case ProcessEvent.Stdout(ByteBuffer data) -> append(output, data);
          case ProcessEvent.Stderr(ByteBuffer data) -> append(errors, data);
          case ProcessEvent.Started _, ProcessEvent.Ended _, ProcessEvent.Silence _ -> {}
        }
        if (!until.isEmpty() && output.toString().endsWith(until)) {
          break;
        }
        event = stream.next();
      }
    }
    return new Said(output.toString(), errors.toString());
  }

  private static void append(StringBuilder text, ByteBuffer data) {
    if (text.length() < MAX_SAID_BYTES) {
      text.append(StandardCharsets.UTF_8.decode(data));
    }
  }
}
