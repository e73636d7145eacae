package io.faithfulsae.internal;

/** Text from a file that nobody vouches for, made fit for a message. */
final class PickleText {
  private static final int LIMIT = 80;

  private PickleText() {}

  /** Printable ASCII only, at most 80 characters, in quotation marks. */
  static String quoted(String text) {
    return '"' + printable(text) + '"';
  }

  /** Printable ASCII only, at most 80 characters. */
  static String printable(String text) {
    String start = text.length() > LIMIT ? text.substring(0, LIMIT) + "..." : text;
    return start.replaceAll("[^ -~]", "?");
  }
}
