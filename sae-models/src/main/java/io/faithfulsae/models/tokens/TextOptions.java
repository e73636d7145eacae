package io.faithfulsae.models.tokens;

/**
 * How text is taken from files.
 *
 * @param column of tables, or field of JSON lines, with the text; with the default, {@code text},
 *     JSON lines that have {@code token_ids} are read by these
 * @param acrossDocuments whether a sequence may hold the end of one document and the beginning of
 *     the next, so that all are of one length; else each document is cut on its own, what is left
 *     at its end is a shorter sequence, and one token alone is dropped
 * @param lowerCase whether text is lower-cased first, for models that know no capitals
 */
public record TextOptions(String column, boolean acrossDocuments, boolean lowerCase) {
  private static final String TEXT = "text";

  /** The column {@code text}, across documents, as it stands. */
  public static final TextOptions DEFAULT = new TextOptions(TEXT, true, false);

  /** The same of another column. */
  public TextOptions withColumn(String name) {
    return new TextOptions(name, acrossDocuments, lowerCase);
  }

  /** The same with sequences that end where a document does. */
  public TextOptions withinDocuments() {
    return new TextOptions(column, false, lowerCase);
  }

  /** The same, lower-cased or not. */
  public TextOptions withLowerCase(boolean lower) {
    return new TextOptions(column, acrossDocuments, lower);
  }

  boolean isDefaultColumn() {
    return column.equals(TEXT);
  }
}
