package dev.sandkeeper.server.policy;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Set;

/**
 * Finds the commands in a text for the shell, without being a shell: nothing is expanded, and what
 * only running it would show is not found.
 *
 * <p>Goes through the text once. A command ends at an operator or a line's end; those within {@code
 * $(...)}, {@code `...`}, parentheses and braces are commands too, and so are those that programs
 * such as {@code env} and {@code bash -c} are told to run.
 */
final class ShellLine {
  private static final int MAX_DEPTH = 8;

  private static final Set<String> SHELLS = Set.of("bash", "sh", "dash", "zsh", "ksh");

  /** Stand before a command. */
  private static final Set<String> KEYWORDS =
      Set.of("if", "then", "elif", "else", "do", "while", "until", "!", "{", "time");

  /** Stand where a command could, and with all that follows are none. */
  private static final Set<String> CLAUSES =
      Set.of("fi", "done", "esac", "}", "for", "select", "case", "in", "function");

  /** Run what follows behind their options. */
  private static final Set<String> WRAPPERS =
      Set.of(
          "exec", "command", "builtin", "env", "nohup", "nice", "ionice", "setsid", "stdbuf",
          "sudo", "doas", "xargs", "timeout", "time", "busybox", "chroot", "unshare", "flock");

  private final String text;
  private final List<SimpleCommand> found;
  private final int depth;

  /** What goes on when what is within it has ended. */
  private record Outer(List<String> words, StringBuilder word, boolean hasWord, boolean quoted) {}

  private final Deque<Outer> outer = new ArrayDeque<>();
  private final Deque<String> documents = new ArrayDeque<>();
  private List<String> words = new ArrayList<>();
  private StringBuilder word = new StringBuilder();
  private boolean hasWord;
  private boolean quoted;
  private int at;

  private ShellLine(String text, List<SimpleCommand> found, int depth) {
    this.text = text;
    this.found = found;
    this.depth = depth;
  }

  /** Returns the commands in a text. */
  static List<SimpleCommand> commands(String text) {
    List<SimpleCommand> found = new ArrayList<>();
    new ShellLine(text, found, 0).parse();
    return found;
  }

  /** Returns a command and those that it is told to run. */
  static List<SimpleCommand> commands(List<String> argv) {
    List<SimpleCommand> found = new ArrayList<>();
    if (argv.size() >= 3 && argv.get(0).equals("/bin/bash") && argv.get(1).equals("-c")) {
      new ShellLine(argv.get(2), found, 0).parse(); // a line, not a shell that somebody asked for
    } else {
      add(argv, found, 0);
    }
    return found;
  }

  private static void add(List<String> words, List<SimpleCommand> found, int depth) {
    if (words.isEmpty() || words.getFirst().isEmpty()) {
      return;
    }
    SimpleCommand command = new SimpleCommand(words);
    found.add(command);
    if (depth >= MAX_DEPTH) {
      return;
    }
    String program = command.program();
    if (program.equals("eval")) {
      new ShellLine(String.join(" ", words.subList(1, words.size())), found, depth + 1).parse();
    } else if (SHELLS.contains(program)) {
      for (int i = 1; i + 1 < words.size(); i++) {
        if (words.get(i).matches("-[a-z]*c[a-z]*")) {
          new ShellLine(words.get(i + 1), found, depth + 1).parse();
          return;
        }
      }
    } else if (WRAPPERS.contains(program)) {
      int next = 1;
      while (next < words.size() && isOption(words.get(next))) {
        next++;
      }
      add(words.subList(next, words.size()), found, depth + 1);
    }
  }

  /** Says whether a word is an option, an assignment or a figure. */
  private static boolean isOption(String word) {
    return word.startsWith("-") || isAssignment(word) || word.matches("[0-9.]+[smhd]?");
  }

  private static boolean isAssignment(String word) {
    return word.matches("[A-Za-z_][A-Za-z0-9_]*\\+?=(?s:.*)");
  }

  private void parse() {
    while (at < text.length()) {
      char character = text.charAt(at++);
      if (quoted) {
        inQuotes(character);
      } else {
        outsideQuotes(character);
      }
    }
    endCommand();
    while (!outer.isEmpty()) {
      close();
      endCommand();
    }
  }

  private void inQuotes(char character) {
    switch (character) {
      case '"' -> quoted = false;
      case '\\' -> escaped();
      case '$' -> substitution();
      case '`' -> backquote();
      default -> append(character);
    }
  }

  private void outsideQuotes(char character) {
    switch (character) {
      case '\'' -> {
        int end = text.indexOf('\'', at);
        end = end < 0 ? text.length() : end;
        word.append(text, at, end);
        hasWord = true;
        at = end + 1;
      }
      case '"' -> {
        quoted = true;
        hasWord = true;
      }
      case '\\' -> escaped();
      case '$' -> substitution();
      case '`' -> backquote();
      case '(' -> open();
      case ')' -> {
        endCommand();
        close();
      }
      case ';', '&', '|' -> endCommand();
      case '\n' -> {
        endCommand();
        skipDocuments();
      }
      case '<', '>' -> redirection(character);
      case ' ', '\t', '\r' -> endWord();
      case '#' -> {
        if (hasWord) {
          append(character);
        } else {
          int end = text.indexOf('\n', at);
          at = end < 0 ? text.length() : end;
        }
      }
      default -> append(character);
    }
  }

  private void append(char character) {
    word.append(character);
    hasWord = true;
  }

  private void escaped() {
    if (at < text.length()) {
      char next = text.charAt(at++);
      if (next != '\n') {
        append(next);
      }
    }
  }

  private void substitution() {
    if (at < text.length() && text.charAt(at) == '(') {
      at++;
      open();
    } else {
      append('$');
    }
  }

  /** Within backquotes the next one closes. */
  private void backquote() {
    int end = text.indexOf('`', at);
    end = end < 0 ? text.length() : end;
    if (depth < MAX_DEPTH) {
      new ShellLine(text.substring(at, end), found, depth + 1).parse();
    }
    at = end + 1;
    hasWord = true;
  }

  private void open() {
    outer.push(new Outer(words, word, hasWord, quoted));
    words = new ArrayList<>();
    word = new StringBuilder();
    hasWord = false;
    quoted = false;
  }

  private void close() {
    if (!outer.isEmpty()) {
      Outer resumed = outer.pop();
      words = resumed.words();
      word = resumed.word();
      hasWord = resumed.hasWord();
      quoted = resumed.quoted();
    }
  }

  /** Leaves out where to and from; `&` and `|` behind the sign belong to it. */
  private void redirection(char sign) {
    if (word.toString().matches("[0-9]*")) {
      word.setLength(0);
      hasWord = false;
    }
    endWord();
    if (at < text.length() && text.charAt(at) == '(') {
      return; // a process in the place of a file
    }
    boolean isDocument = sign == '<' && text.startsWith("<", at) && !text.startsWith("<<", at);
    while (at < text.length() && "<>&|-".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
    while (at < text.length() && (text.charAt(at) == ' ' || text.charAt(at) == '\t')) {
      at++;
    }
    int begin = at;
    while (at < text.length() && " \t\r\n;&|()<>".indexOf(text.charAt(at)) < 0) {
      at++;
    }
    if (isDocument) {
      documents.add(text.substring(begin, at).replaceAll("[\"'\\\\]", ""));
    }
  }

  /** What stands in a here-document is no command. */
  private void skipDocuments() {
    while (!documents.isEmpty() && at < text.length()) {
      int end = text.indexOf('\n', at);
      end = end < 0 ? text.length() : end;
      if (text.substring(at, end).strip().equals(documents.getFirst())) {
        documents.removeFirst();
      }
      at = Math.min(end + 1, text.length());
    }
  }

  private void endWord() {
    if (hasWord) {
      words.add(word.toString());
      word = new StringBuilder();
      hasWord = false;
    }
  }

  private void endCommand() {
    endWord();
    int first = 0;
    while (first < words.size()
        && (KEYWORDS.contains(words.get(first)) || isAssignment(words.get(first)))) {
      first++;
    }
    if (first < words.size() && !CLAUSES.contains(words.get(first))) {
      add(List.copyOf(words.subList(first, words.size())), found, depth);
    }
    words = new ArrayList<>();
  }
}
