package io.faithfulsae.study;

import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.annotation.JsonInclude;
import io.faithfulsae.training.TrainingConfig;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Training of each SAE; everything else comes from the preset. A list trains an SAE with each
 * value, in every combination, on the same stream of activations.
 *
 * @param tokens rows to train on
 * @param batch rows per step
 * @param preset whose recipe to use
 * @param lr peak learning rate; empty for the preset's own
 * @param warmupSteps linear warm-up; null for the preset's own
 * @param decaySteps linear decay at the end; null for the preset's own
 * @param bufferRows rows in the shuffle buffer
 * @param options what activations have of their own; null for the preset's
 */
public record TrainingSettings(
    long tokens,
    int batch,
    @JsonFormat(with = JsonFormat.Feature.ACCEPT_SINGLE_VALUE_AS_ARRAY) List<Recipe> preset,
    @JsonFormat(with = JsonFormat.Feature.ACCEPT_SINGLE_VALUE_AS_ARRAY) List<Double> lr,
    @Nullable Long warmupSteps,
    @Nullable Long decaySteps,
    int bufferRows,
    @JsonInclude(JsonInclude.Include.NON_NULL) @Nullable FamilyOptions options) {

  /** Copies the lists and checks that their values are distinct. */
  public TrainingSettings {
    preset = StudyConfig.different("training.preset", preset);
    lr = StudyConfig.different("training.lr", lr);
    StudyConfig.require(!preset.isEmpty(), "training.preset", "at least one", preset);
  }

  /** One configuration per learning rate, each with the first seed. */
  List<TrainingConfig> configs(Recipe recipe, SaeFamily family, int dIn, int dSae) {
    TrainingConfig theirs = recipe.config(family, dIn, dSae, tokens, batch);
    Long warmup = warmupSteps;
    Long decay = decaySteps;
    TrainingConfig.Builder ours =
        theirs.toBuilder()
            .tokens(tokens)
            .batch(batch)
            .warmupSteps(warmup == null ? theirs.schedule().warmupSteps() : warmup)
            .decaySteps(decay == null ? theirs.schedule().decaySteps() : decay)
            .bufferRows(bufferRows)
            .checkpointSteps(100);
    FamilyOptions own = options;
    if (own != null) {
      own.apply(family, dIn, dSae, ours);
    }
    List<Double> rates = lr.isEmpty() ? List.of(theirs.lr()) : lr;
    return rates.stream().map(rate -> ours.lr(rate).build()).toList();
  }
}
