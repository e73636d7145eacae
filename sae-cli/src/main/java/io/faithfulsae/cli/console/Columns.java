package io.faithfulsae.cli.console;

import java.util.ArrayList;
import java.util.List;

/** Texts side by side in two columns, wrapped at spaces; rows are separated by an empty line. */
public final class Columns {
  private static final String GAP = "  ";

  private final int width;
  private final List<String> lines = new ArrayList<>();

  /**
   * An empty table.
   *
   * @param width of a line, in characters
   */
  public Columns(int width) {
    this.width = Math.max(2, (width - GAP.length()) / 2);
  }

  /** Adds two texts. */
  public void row(String left, String right) {
    List<String> first = wrap(left);
    List<String> second = wrap(right);
    if (!lines.isEmpty()) {
      lines.add("");
    }
    for (int i = 0; i < Math.max(first.size(), second.size()); i++) {
      String start = i < first.size() ? first.get(i) : "";
      String end = i < second.size() ? second.get(i) : "";
      lines.add((start + " ".repeat(width - start.length()) + GAP + end).stripTrailing());
    }
  }

  private List<String> wrap(String text) {
    List<String> wrapped = new ArrayList<>();
    for (String line : text.replace('\t', ' ').split("\\R", -1)) {
      String rest = line.strip();
      while (rest.length() > width) {
        int space = rest.lastIndexOf(' ', width);
        int end = space > 0 ? space : whole(rest, width);
        wrapped.add(rest.substring(0, end).stripTrailing());
        rest = rest.substring(end).stripLeading();
      }
      wrapped.add(rest);
    }
    return wrapped;
  }

  /** Where to cut a word, without splitting a character of two. */
  private static int whole(String text, int end) {
    return Character.isHighSurrogate(text.charAt(end - 1)) ? end - 1 : end;
  }

  @Override
  public String toString() {
    return String.join(System.lineSeparator(), lines);
  }
}
