package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.Reconstruction;
import io.faithfulsae.study.ModelResults.Evaluation;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.Trained.Opened;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Evaluates SAEs on text that was held out: how well they reconstruct, and at what cost.
 *
 * @param filter what training left out
 */
record HeldOutEvaluation(StudyContext on, ActivationFilter filter) {

  private record Evaluations(Map<String, Evaluation> bySae) {}

  /** Of the SAEs of one data set on one text. */
  static Cost cost(StudyContext on) {
    StudyConfig.Evaluation settings = on.config().evaluation();
    // Logits of the model itself, with zeros, with the mean, and with each reconstruction.
    int passes = 3 + on.grid().cells().size();
    return Cost.ofModel(settings.rows() + 2 * settings.ceTokens(), settings.ceTokens() * passes);
  }

  /**
   * By SAE.
   *
   * @param textKeys of the steps that created the text
   */
  Map<String, Evaluation> of(Trained group, List<String> textKeys, TokenSource text, Step step)
      throws IOException {
    StudyConfig.Evaluation settings = on.config().evaluation();
    return step.run(
            List.of(
                group.key(),
                group.names(),
                textKeys,
                filter.toString(),
                settings.rows(),
                settings.ceTokens(),
                on.config().bootstrap(),
                on.config().batchSequences()),
            Evaluations.class,
            folder -> {
              try (Opened saes = group.open(on.backend())) {
                List<Reconstruction> reconstructions =
                    Metrics.reconstruction(saes.all(), on.source(text, filter), settings.rows());
                List<CrossEntropy> costs =
                    Metrics.crossEntropy(
                        saes.all(), on.activations(text, filter), settings.ceTokens());
                Map<String, Evaluation> bySae = new LinkedHashMap<>();
                for (int i = 0; i < reconstructions.size(); i++) {
                  bySae.put(
                      group.names().get(i), new Evaluation(reconstructions.get(i), costs.get(i)));
                }
                return new Evaluations(bySae);
              }
            })
        .result()
        .bySae();
  }
}
