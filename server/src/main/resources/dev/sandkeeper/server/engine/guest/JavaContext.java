import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.Diag;
import jdk.jshell.EvalException;
import jdk.jshell.JShell;
import jdk.jshell.JShellException;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis.Completeness;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;
import jdk.jshell.UnresolvedReferenceException;
import sun.misc.Signal;

/**
 * The process that keeps the variables of Java code. The agent starts it from this source, as the
 * sandbox's user, and sends it one cell after the other over descriptor 3. JDK 17 or newer.
 *
 * <p>A cell is cut into the snippets of JShell, which run one by one in this very process: what code
 * breaks is its own context, which the agent then replaces.
 */
final class JavaContext {
  private static final int CHANNEL = 3;
  private static final int STARTED = 2;
  private static final int RESULT = 5;
  private static final int ERROR = 6;
  private static final int FINISHED = 7;
  private static final int FAILED = 1;

  /** What counts cells, above an exit code. */
  private static final long CELL = 256;

  private static final int MAX_RESULT_CHARS = 128 * 1024;
  private static final int MAX_TRACEBACK_CHARS = 32 * 1024;
  private static final int MAX_VALUE_CHARS = 8 * 1024;
  private static final int MAX_NAME_CHARS = 256;
  private static final int MAX_EXCERPT_CHARS = 200;
  private static final int MAX_FRAMES = 200;
  private static final int MAX_CAUSES = 20;
  private static final long STOP_AGAIN_MILLIS = 50;

  /** What the JDK's own shell imports. */
  private static final List<String> IMPORTS =
      List.of(
          "java.io.*",
          "java.math.*",
          "java.net.*",
          "java.nio.file.*",
          "java.util.*",
          "java.util.concurrent.*",
          "java.util.function.*",
          "java.util.prefs.*",
          "java.util.regex.*",
          "java.util.stream.*");

  /** White space and comments at the beginning. */
  private static final Pattern NOTHING =
      Pattern.compile("\\A(?:\\s++|//[^\\n\\r]*+|/\\*(?:[^*]|\\*(?!/))*+\\*/)*+");

  private final DataInputStream in;
  private final OutputStream out;
  private final JShell shell;

  /** By a snippet's id: where it stands. */
  private final Map<String, Place> places = new HashMap<>();

  private int cells;

  // Guarded by this.
  private boolean running;
  private boolean interrupted;

  /**
   * Where a snippet begins.
   *
   * @param cell the number of its cell
   * @param line the line before it there, from 0
   */
  private record Place(int cell, int line) {
    String at(int snippetLine) {
      return "cell-" + cell + ":" + (line + snippetLine);
    }
  }

  /** A snippet's source and where in its cell that begins. */
  private record Part(String source, int start) {}

  private JavaContext(FileDescriptor channel) {
    in = new DataInputStream(new FileInputStream(channel));
    out = new FileOutputStream(channel);
    shell = JShell.builder().executionEngine("local").build();
    for (String name : IMPORTS) {
      shell.eval("import " + name + ";");
    }
  }

  public static void main(String[] arguments) throws Exception {
    System.setIn(InputStream.nullInputStream());
    System.setOut(stream(FileDescriptor.out));
    System.setErr(stream(FileDescriptor.err));
    JavaContext context = new JavaContext(channel());
    Signal.handle(new Signal("INT"), signal -> context.interrupt());
    try {
      context.serve();
    } finally {
      // Threads of the user's would keep a process that runs no cell any more.
      Runtime.getRuntime().halt(FAILED);
    }
  }

  private static PrintStream stream(FileDescriptor descriptor) {
    OutputStream buffered = new BufferedOutputStream(new FileOutputStream(descriptor));
    return new PrintStream(buffered, true, StandardCharsets.UTF_8);
  }

  /** There is no other way to a socket that is there already; the agent opens the package for it. */
  private static FileDescriptor channel() throws ReflectiveOperationException {
    FileDescriptor descriptor = new FileDescriptor();
    Field number = FileDescriptor.class.getDeclaredField("fd");
    number.setAccessible(true);
    number.setInt(descriptor, CHANNEL);
    return descriptor;
  }

  // --- The conversation with the agent --------------------------------------------------------

  private void serve() throws IOException {
    while (true) {
      int size = in.read();
      if (size < 0) {
        Runtime.getRuntime().halt(0);
      }
      size = size << 24 | in.readUnsignedByte() << 16 | in.readUnsignedShort();
      in.readFully(new byte[Byte.BYTES + Long.BYTES]);
      byte[] payload = new byte[size];
      in.readFully(payload);
      cells++;
      run(source(payload));
    }
  }

  /** Returns the value of the field {@code source} in a payload of names and values. */
  private static String source(byte[] payload) {
    ByteBuffer left = ByteBuffer.wrap(payload);
    while (true) {
      String name = field(left);
      String value = field(left);
      if (name.equals("source")) {
        return value;
      }
    }
  }

  private static String field(ByteBuffer left) {
    byte[] bytes = new byte[left.getInt()];
    left.get(bytes);
    return new String(bytes, StandardCharsets.UTF_8);
  }

  private void send(int type, long number, String... fields) throws IOException {
    ByteArrayOutputStream payload = new ByteArrayOutputStream();
    for (String field : fields) {
      byte[] bytes = field.getBytes(StandardCharsets.UTF_8);
      payload.write(ByteBuffer.allocate(Integer.BYTES).putInt(bytes.length).array());
      payload.write(bytes);
    }
    ByteBuffer frame =
        ByteBuffer.allocate(Integer.BYTES + Byte.BYTES + Long.BYTES + payload.size());
    frame.putInt(payload.size()).put((byte) type).putLong(number).put(payload.toByteArray());
    out.write(frame.array());
  }

  // --- Cells ----------------------------------------------------------------------------------

  private void run(String source) throws IOException {
    // What was for the cell before is not for this one.
    Thread.interrupted();
    synchronized (this) {
      running = true;
      interrupted = false;
    }
    send(STARTED, cells * CELL);
    int code;
    try {
      code = evaluate(source);
    } catch (VirtualMachineError e) {
      // Of the compiler, which runs here: of code too deep or too large for it.
      send(ERROR, 0, e.getClass().getName(), "the compiler could not take the code", e.toString());
      code = FAILED;
    }
    synchronized (this) {
      running = false;
      notifyAll();
    }
    for (PrintStream stream : new PrintStream[] {System.out, System.err}) {
      if (stream != null) {
        stream.flush();
      }
    }
    send(FINISHED, cells * CELL + code);
  }

  /** Runs a cell's snippets and tells its result or error; returns the exit code. */
  private int evaluate(String source) throws IOException {
    List<Part> parts = new ArrayList<>();
    // Lines of a snippet are counted from its first word on.
    String left = NOTHING.matcher(source).replaceFirst("");
    while (!left.isEmpty()) {
      CompletionInfo info = shell.sourceCodeAnalysis().analyzeCompletion(left);
      Completeness completeness = info.completeness();
      if (completeness == Completeness.EMPTY) {
        break;
      }
      int start = source.length() - left.length();
      if (completeness == Completeness.UNKNOWN
          || completeness == Completeness.DEFINITELY_INCOMPLETE) {
        // It cannot be right, so nothing of the cell is to run.
        parts = List.of(new Part(left, start));
        break;
      }
      parts.add(new Part(info.source(), start));
      left = NOTHING.matcher(info.remaining()).replaceFirst("");
    }
    String result = null;
    for (Part part : parts) {
      result = null;
      for (SnippetEvent event : shell.eval(part.source())) {
        if (event.causeSnippet() != null) {
          // Another one that this one changed.
          continue;
        }
        String[] error = error(event, part, source);
        if (error != null) {
          send(ERROR, 0, error);
          return FAILED;
        }
        result = isShown(event.snippet()) ? event.value() : null;
      }
      if (isInterrupted()) {
        send(ERROR, 0, interruption());
        return FAILED;
      }
    }
    if (result != null) {
      send(RESULT, 0, "text/plain", cut(result, MAX_RESULT_CHARS));
    }
    return 0;
  }

  private static boolean isShown(Snippet snippet) {
    return switch (snippet.subKind()) {
      case VAR_VALUE_SUBKIND,
          TEMP_VAR_EXPRESSION_SUBKIND,
          ASSIGNMENT_SUBKIND,
          OTHER_EXPRESSION_SUBKIND ->
          true;
      default -> false;
    };
  }

  /** Breaks off what runs, again and again: between two snippets there is nothing to be stopped. */
  private synchronized void interrupt() {
    int cell = cells;
    interrupted = running;
    try {
      while (running && cell == cells) {
        shell.stop();
        wait(STOP_AGAIN_MILLIS);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private synchronized boolean isInterrupted() {
    return interrupted;
  }

  // --- Errors ---------------------------------------------------------------------------------

  /** Returns name, value and traceback of what went wrong; null when nothing did. */
  private String[] error(SnippetEvent event, Part part, String source) {
    Snippet snippet = event.snippet();
    int lines = (int) source.substring(0, part.start()).chars().filter(c -> c == '\n').count();
    places.put(snippet.id(), new Place(cells, lines));
    if (isInterrupted()) {
      return interruption();
    }
    if (event.status() == Snippet.Status.REJECTED) {
      return mistake(snippet, part, source);
    }
    JShellException exception = event.exception();
    return exception == null ? null : explain(exception);
  }

  private static String[] interruption() {
    String value = "the code was interrupted by SIGINT";
    return new String[] {"Interrupted", value, "Interrupted: " + value};
  }

  /** Explains what does not compile, showing the places. */
  private String[] mistake(Snippet snippet, Part part, String source) {
    StringBuilder text = new StringBuilder();
    List<Diag> faults = shell.diagnostics(snippet).filter(Diag::isError).toList();
    for (Diag fault : faults) {
      int at = part.start() + (int) Math.max(0, fault.getPosition());
      at = Math.min(at, source.length());
      int begin = source.lastIndexOf('\n', at - 1) + 1;
      int end = source.indexOf('\n', begin);
      String line = source.substring(begin, end < 0 ? source.length() : end);
      long number = source.substring(0, begin).chars().filter(c -> c == '\n').count() + 1;
      text.append("cell-").append(cells).append(':').append(number).append(": error: ");
      text.append(message(fault)).append('\n');
      if (!line.isEmpty() && line.length() <= MAX_EXCERPT_CHARS) {
        text.append(line).append('\n').append(" ".repeat(at - begin)).append("^\n");
      }
    }
    String value = faults.isEmpty() ? "the code does not compile" : message(faults.get(0));
    return error("CompileError", value, text.toString().stripTrailing());
  }

  /** The place it names is the one of the snippet's wrapping. */
  private static String message(Diag fault) {
    return fault.getMessage(Locale.ROOT).replaceAll("\\R\\s*location: class\\s*$", "");
  }

  private String[] explain(JShellException exception) {
    StringBuilder text = new StringBuilder();
    String heading = "";
    int causes = 0;
    for (Throwable next = exception; next != null && causes < MAX_CAUSES; causes++) {
      text.append(heading).append(name(next)).append(value(next).isEmpty() ? "" : ": ");
      text.append(value(next)).append('\n');
      StackTraceElement[] frames = next.getStackTrace();
      for (int i = 0; i < Math.min(frames.length, MAX_FRAMES); i++) {
        text.append("    at ").append(frame(frames[i])).append('\n');
      }
      heading = "Caused by: ";
      next = next.getCause();
    }
    String name = name(exception);
    return error(
        name.substring(name.lastIndexOf('.') + 1), value(exception), text.toString().stripTrailing());
  }

  private static String name(Throwable exception) {
    if (exception instanceof EvalException thrown) {
      return thrown.getExceptionClassName().replaceAll("REPL\\.\\$JShell\\$\\w+\\.|.*\\$JShell\\$\\w+\\$", "");
    }
    return exception instanceof UnresolvedReferenceException
        ? "UnresolvedReference"
        : exception.getClass().getName();
  }

  private String value(Throwable exception) {
    if (exception instanceof UnresolvedReferenceException unresolved) {
      DeclarationSnippet snippet = unresolved.getSnippet();
      return "what is used needs "
          + String.join(", ", shell.unresolvedDependencies(snippet).toList())
          + ", which is not declared";
    }
    return exception.getMessage() == null ? "" : exception.getMessage();
  }

  /** Names a frame as Java does, and where it is in its cell if it is code of one. */
  private String frame(StackTraceElement frame) {
    String file = frame.getFileName();
    Place place = file != null && file.startsWith("#") ? places.get(file.substring(1)) : null;
    if (place == null) {
      return frame.toString();
    }
    String method = frame.getMethodName();
    String type = frame.getClassName();
    String name = type.isEmpty() || method.isEmpty() ? method : type + "." + method;
    String at = place.at(frame.getLineNumber());
    return name.isEmpty() ? at : name + "(" + at + ")";
  }

  private static String[] error(String name, String value, String traceback) {
    return new String[] {
      cut(name, MAX_NAME_CHARS), cut(value, MAX_VALUE_CHARS), cut(traceback, MAX_TRACEBACK_CHARS)
    };
  }

  /** Bounds a text, keeping both ends: an error's cause is at one of them. */
  private static String cut(String text, int most) {
    int half = most / 2;
    return text.length() <= most
        ? text
        : text.substring(0, half) + "\n...\n" + text.substring(text.length() - half);
  }
}
