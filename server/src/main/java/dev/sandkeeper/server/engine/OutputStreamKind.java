package dev.sandkeeper.server.engine;

/** The stream of a program that bytes came from. */
public enum OutputStreamKind {
  STDOUT,
  STDERR
}
