package io.faithfulsae.study;

import com.fasterxml.jackson.annotation.JsonIgnore;
import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;

/**
 * What a study will do, known before it starts.
 *
 * @param study its settings
 * @param out folder of its results
 * @param models what it will do for each model
 * @param freeBytes free disk space at its folder
 */
public record StudyPlan(
    @JsonIgnore StudyFile study, @JsonIgnore Path out, List<ModelPlan> models, long freeBytes) {

  /**
   * What a study will do for one model, counting all steps, including those done in earlier runs.
   *
   * @param name of the model in the study
   * @param steps number of steps
   * @param keptSteps how many of them earlier runs have done; they are only repeated if their
   *     settings have changed
   * @param trainedSaes SAEs trained in its folder: its own, and those of entries that read the same
   *     rows; 0 if another entry trains them
   * @param saes number of its own SAEs
   * @param saeParameters parameters of each, or of the largest
   * @param generatedTokens tokens that the model samples; 0 if another entry samples the same
   * @param trainingRows rows that each SAE is trained on
   * @param harvestedTokens tokens run through the model for training, once for all SAEs of a data
   *     set; 0 if another entry reads the same rows
   * @param hookTokens tokens run through the model up to the hook, including those for training
   * @param logitTokens tokens run from the hook to logits
   * @param bytes maximum disk space of texts, SAEs and checkpoints
   * @param seconds estimate for all steps together, from short trials on this machine; 0 if all
   *     steps are done
   */
  public record ModelPlan(
      String name,
      int steps,
      int keptSteps,
      int trainedSaes,
      int saes,
      long saeParameters,
      long generatedTokens,
      long trainingRows,
      long harvestedTokens,
      long hookTokens,
      long logitTokens,
      long bytes,
      double seconds) {}

  /** Copies the list. */
  public StudyPlan {
    models = List.copyOf(models);
  }

  static long freeBytes(Path folder) throws IOException {
    return Files.getFileStore(folder).getUsableSpace();
  }

  /** Maximum disk space of all models together. */
  public long bytes() {
    return models.stream().mapToLong(ModelPlan::bytes).sum();
  }

  /** The plan as readable text. */
  public String table() {
    StringBuilder text = new StringBuilder("plan");
    for (ModelPlan model : models) {
      text.append(
          String.format(
              Locale.ROOT,
              "%n  %s: %d steps (%d kept from an earlier start), %d SAEs of up to %,d parameters%s%n"
                  + "    %,d tokens to sample, %,d training rows per SAE, %,d tokens through the model to the hook, %,d on to logits%n"
                  + "    at most %s of disk, about %s",
              model.name(),
              model.steps(),
              model.keptSteps(),
              model.saes(),
              model.saeParameters(),
              model.trainedSaes() == 0
                  ? ", trained with those of another entry"
                  : model.trainedSaes() > model.saes()
                      ? ", trained with %d of other entries"
                          .formatted(model.trainedSaes() - model.saes())
                      : "",
              model.generatedTokens(),
              model.trainingRows(),
              model.hookTokens(),
              model.logitTokens(),
              bytes(model.bytes()),
              model.keptSteps() == model.steps() ? "no time" : time(model.seconds())));
    }
    return text.append(String.format("%n  free disk: %s", bytes(freeBytes))).toString();
  }

  /**
   * Checks that the disk has enough space.
   *
   * @throws IOException stating the needed and the available space
   */
  void requireDisk() throws IOException {
    if (bytes() > freeBytes) {
      throw new IOException(
          Expected.message(
              bytes(bytes()) + " of free disk for the study",
              bytes(freeBytes),
              "free some, or train fewer or smaller SAEs"));
    }
  }

  private static String bytes(long count) {
    return count >= 1 << 30
        ? String.format(Locale.ROOT, "%.1f GiB", count / (double) (1 << 30))
        : String.format(Locale.ROOT, "%.1f MiB", count / (double) (1 << 20));
  }

  private static String time(double seconds) {
    Duration d = Duration.ofSeconds(Math.round(seconds));
    return d.toHours() > 0
        ? d.toHours() + " h " + d.toMinutesPart() + " min"
        : d.toMinutes() > 0
            ? d.toMinutes() + " min " + d.toSecondsPart() + " s"
            : d.toSeconds() + " s";
  }
}
