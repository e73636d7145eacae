package io.faithfulsae.cli;

import io.faithfulsae.models.tokens.TextOptions;
import picocli.CommandLine.Option;

/**
 * How to read text; files are JSON lines, CSV, TSV, Parquet or plain text, optionally compressed.
 */
final class TextInputOptions {
  /** For the descriptions of options that take a text. */
  static final String FORMATS =
      ".jsonl, .txt, .csv, .tsv, .parquet, optionally .gz or .zst, a folder of them, or a pattern such as 'train-*.parquet'.";

  @Option(
      names = "--column",
      paramLabel = "NAME",
      defaultValue = "text",
      description =
          "Column (of tables) or field (of JSON lines) that holds the text (default: ${DEFAULT-VALUE}).")
  String column;

  @Option(
      names = "--within-documents",
      description =
          "End sequences where documents end, so that none spans two. Default: documents are concatenated.")
  boolean withinDocuments;

  TextOptions options() {
    return new TextOptions(column, !withinDocuments, false);
  }
}
