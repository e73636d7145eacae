package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.HookPoint;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.ModelActivations;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.spi.Backend;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;

/**
 * An open model of a study, with what all of its steps need.
 *
 * @param name of the entry in the study
 * @param study folder of the whole study
 * @param folders the steps of all entries, since some are shared by several
 */
record StudyContext(
    String name,
    StudyConfig config,
    Sharing sharing,
    Path study,
    Backend backend,
    OnnxModel model,
    Tokenizer tokenizer,
    String modelHash,
    HookPoint hook,
    StepFolders folders) {

  /** Follows the study. */
  StudyListener listener() {
    return folders.listener();
  }

  /** Tokens per sequence. */
  int context() {
    return Math.min(config.context(), model.contextLength());
  }

  /** The SAEs of each data set. */
  Grid grid() {
    return Grid.of(config, model.width(hook));
  }

  /** The model with its hook point. */
  HookedModel hooked() {
    return new HookedModel(model, hook);
  }

  /** The activations that SAEs are judged on. */
  ModelActivations activations(TokenSource tokens, ActivationFilter filter) {
    return new ModelActivations(hooked(), tokens, filter);
  }

  /** The rows of a text, in the batches of the settings. */
  ActivationSource source(TokenSource tokens, ActivationFilter filter) {
    return activations(tokens, filter).source(config.batchSequences());
  }

  /** Creates the data sets. */
  StudyData data() {
    return new StudyData(config, model, tokenizer, context());
  }

  /** What every closer look at the SAEs of a data set depends on, as part of a step's inputs. */
  List<Object> inputs(Trained group, ActivationFilter filter) {
    return List.of(group.key(), group.names(), filter.toString(), config.batchSequences());
  }

  /** A filter by position and token only. */
  ActivationFilter unbounded(StudyConfig.Filter settings) {
    Set<Integer> excluded = settings.skipBos() ? Set.of(model.bosToken()) : Set.of();
    return new ActivationFilter(settings.skipPositions(), excluded, Double.POSITIVE_INFINITY);
  }
}
