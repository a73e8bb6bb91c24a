package dev.sandkeeper.bench;

/** Which values of a figure are the good ones. */
enum Better {
  /** Such as a time. */
  LOWER,
  /** Such as a rate. */
  HIGHER
}
