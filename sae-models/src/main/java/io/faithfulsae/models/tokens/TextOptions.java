package io.faithfulsae.models.tokens;

/**
 * How to read text from files.
 *
 * @param column table column, or JSON field, that contains the text; with the default, {@code
 *     text}, JSON lines that have {@code token_ids} are read from these
 * @param acrossDocuments whether a sequence may span documents, so that all have the same length;
 *     if not, each document is split separately, its last sequence may be shorter, and a single
 *     token is dropped
 * @param lowerCase whether text is lower-cased first, for models without capitals
 */
public record TextOptions(String column, boolean acrossDocuments, boolean lowerCase) {
  private static final String TEXT = "text";

  /** The column {@code text}, across documents, not lower-cased. */
  public static final TextOptions DEFAULT = new TextOptions(TEXT, true, false);

  /** These options with another column. */
  public TextOptions withColumn(String name) {
    return new TextOptions(name, acrossDocuments, lowerCase);
  }

  /** These options with sequences that end at document ends. */
  public TextOptions withinDocuments() {
    return new TextOptions(column, false, lowerCase);
  }

  /** These options with or without lower-casing. */
  public TextOptions withLowerCase(boolean lower) {
    return new TextOptions(column, acrossDocuments, lower);
  }

  boolean isDefaultColumn() {
    return column.equals(TEXT);
  }
}
