package dev.sandkeeper.client.tour;

/** Something that the tour found to be other than it must be; the message is for people. */
final class TourFailure extends RuntimeException {
  private static final long serialVersionUID = 1L;

  TourFailure(String message) {
    super(message);
  }
}
