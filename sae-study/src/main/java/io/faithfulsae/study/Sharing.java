package io.faithfulsae.study;

import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.StudyConfig.Generate;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * What entries of a study with the same model do once for all of them. A text that two entries
 * sample with the same settings is sampled by the first; entries that read the same rows (same
 * hook, data sets, filter and batches) train all their SAEs together, in the folder of the first.
 */
final class Sharing {
  private final Map<String, StudyConfig> entries;

  /** A data set of an entry. */
  record Source(String entry, DataSet set) {}

  /** Everything that determines which rows a training reads, and in which batches. */
  private record Stream(
      Path model,
      String hook,
      int context,
      int batchSequences,
      StudyConfig.Filter filter,
      List<DataSet> dataSets,
      StudyConfig.Checks checks,
      double heldOutShare,
      int samples,
      long tokens,
      int batch,
      int bufferRows) {
    static Stream of(StudyConfig config) {
      return new Stream(
          folder(config),
          config.hook(),
          config.context(),
          config.batchSequences(),
          config.filter(),
          config.dataSets(),
          config.checks(),
          config.evaluation().heldOutShare(),
          config.samples(),
          config.training().tokens(),
          config.training().batch(),
          config.training().bufferRows());
    }
  }

  Sharing(Map<String, StudyConfig> entries) {
    this.entries = new LinkedHashMap<>(entries);
  }

  StudyConfig config(String entry) {
    return Objects.requireNonNull(entries.get(entry), entry);
  }

  /** The entries that train on an entry's stream, including itself, in file order. */
  List<String> trainedWith(String entry) {
    Stream stream = Stream.of(config(entry));
    return entries.keySet().stream()
        .filter(other -> Stream.of(config(other)).equals(stream))
        .toList();
  }

  /** The first of these, whose folder holds their common steps. */
  String owner(String entry) {
    return trainedWith(entry).get(0);
  }

  /**
   * Where a generated data set of an entry is sampled: by the first entry with the same settings.
   */
  Source sampled(String entry, DataSet set) {
    Generate generate = Objects.requireNonNull(set.generate(), set.name());
    Path model = folder(config(entry));
    for (Map.Entry<String, StudyConfig> other : entries.entrySet()) {
      if (folder(other.getValue()).equals(model)) {
        for (DataSet theirs : other.getValue().dataSets()) {
          if (generate.equals(theirs.generate())) {
            return new Source(other.getKey(), theirs);
          }
        }
      }
    }
    return new Source(entry, set);
  }

  /** Whether an entry samples a data set in its own folder. */
  boolean samples(String entry) {
    return config(entry).dataSets().stream()
        .anyMatch(set -> set.generate() != null && sampled(entry, set).entry().equals(entry));
  }

  /** The same for a data set of another entry, given as {@code entry/data set}. */
  Source sampled(String from) {
    int slash = from.indexOf('/');
    String entry = from.substring(0, slash);
    DataSet set =
        config(entry).dataSets().stream()
            .filter(one -> one.name().equals(from.substring(slash + 1)))
            .findFirst()
            .orElseThrow();
    return sampled(entry, set);
  }

  /** The model's folder in a canonical form; the embedded model has none. */
  static Path folder(StudyConfig config) {
    @Nullable String folder = config.model();
    if (folder == null) {
      return Path.of("");
    }
    try {
      return Path.of(folder).toRealPath();
    } catch (IOException e) {
      return Path.of(folder).toAbsolutePath().normalize(); // opening it will report the problem
    }
  }
}
