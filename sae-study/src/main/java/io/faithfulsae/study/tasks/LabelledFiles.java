package io.faithfulsae.study.tasks;

import com.fasterxml.jackson.annotation.JsonFormat;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.metrics.ProbeTask.Example;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.tokens.TableFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * One split of a task: tables with text columns and a label column.
 *
 * @param files read in order
 * @param header whether the first line names the columns; null means true
 * @param text columns to be joined by a space
 * @param label label column
 * @param labels renames labels, and drops rows with others; null if labels are class names
 */
record LabelledFiles(
    @JsonFormat(with = JsonFormat.Feature.ACCEPT_SINGLE_VALUE_AS_ARRAY) List<String> files,
    @Nullable Boolean header,
    @JsonFormat(with = JsonFormat.Feature.ACCEPT_SINGLE_VALUE_AS_ARRAY) List<String> text,
    String label,
    @Nullable Map<String, String> labels) {

  List<Path> paths(Path folder) {
    return files.stream().map(folder::resolve).toList();
  }

  List<Example> read(Path folder, List<String> classes, Tokenizer tokenizer, int context)
      throws IOException {
    List<String> columns = new ArrayList<>(text);
    columns.add(label);
    List<Example> examples = new ArrayList<>();
    for (Path file : paths(folder)) {
      TableFile table = TableFile.of(file, header == null || header);
      try (Stream<List<String>> rows = table.rows(columns)) {
        long number = 0;
        for (Iterator<List<String>> each = rows.iterator(); each.hasNext(); ) {
          List<String> row = each.next();
          number++;
          String given = row.get(text.size());
          String name = labels == null ? given : labels.get(given);
          String words = String.join(" ", row.subList(0, text.size())).strip();
          if (name == null || words.isEmpty()) {
            continue;
          }
          int known = classes.indexOf(name);
          if (known < 0) {
            throw new SaeFormatException(
                file,
                "row " + number,
                Expected.message("one of the labels " + classes, name, "list it in classes"));
          }
          examples.add(new Example(tokens(words, tokenizer, context), known));
        }
      } catch (UncheckedIOException e) {
        throw e.getCause();
      }
    }
    return examples;
  }

  private static int[] tokens(String words, Tokenizer tokenizer, int context) {
    int[] ids = tokenizer.encode(words);
    int[] tokens = new int[Math.min(context, ids.length + 1)];
    tokens[0] = tokenizer.bosToken();
    System.arraycopy(ids, 0, tokens, 1, tokens.length - 1);
    return tokens;
  }
}
