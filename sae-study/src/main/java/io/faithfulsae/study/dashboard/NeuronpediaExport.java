package io.faithfulsae.study.dashboard;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.HookPoint;
import io.faithfulsae.metrics.Histogram;
import io.faithfulsae.metrics.LatentDescription;
import io.faithfulsae.metrics.LatentDescription.Example;
import io.faithfulsae.metrics.LatentDescription.TokenEffect;
import io.faithfulsae.study.dashboard.Dashboard.Shown;
import io.faithfulsae.study.provenance.Json;
import java.util.List;

/**
 * A dashboard's latents in the JSON of SAEDashboard's NeuronpediaRunner ({@code batch-N.json}),
 * which Neuronpedia's {@code convert-saedashboard-to-neuronpedia-export.py} imports.
 *
 * <p>What a dashboard does not measure is an empty list: neurons aligned with a latent, correlated
 * neurons and features (their L1), the histogram of logits, the distribution of decoder weights.
 * Explanations are not part of the format.
 */
public final class NeuronpediaExport {
  private static final double NO_BIN = -1; // of the top activations
  private static final List<String> NOT_MEASURED =
      List.of(
          "neuron_alignment_indices",
          "neuron_alignment_values",
          "neuron_alignment_l1",
          "correlated_neurons_indices",
          "correlated_neurons_pearson",
          "correlated_neurons_l1",
          "correlated_features_indices",
          "correlated_features_pearson",
          "correlated_features_l1",
          "logits_hist_data_bar_heights",
          "logits_hist_data_bar_values",
          "decoder_weights_dist");

  private NeuronpediaExport() {}

  /**
   * The content of {@code batch-0.json}.
   *
   * @param sourceSet Neuronpedia's name for the set of SAEs, such as {@code res-16k}
   */
  public static String batch(Dashboard dashboard, String sourceSet) {
    ObjectNode batch =
        Json.mapper()
            .createObjectNode()
            .put("model_id", dashboard.model())
            .put("layer", String.valueOf(HookPoint.parse(dashboard.hook()).layer()))
            .put("sae_set", sourceSet)
            .putNull("sae_id_suffix");
    ArrayNode features = batch.putArray("features");
    dashboard.latents().forEach(shown -> features.add(feature(shown)));
    return Json.line(batch);
  }

  private static ObjectNode feature(Shown shown) {
    LatentDescription latent = shown.description();
    ObjectNode feature = Json.mapper().createObjectNode().put("feature_index", latent.latent());
    NOT_MEASURED.forEach(feature::putArray);
    strings(feature.putArray("neg_str"), shown.lowered());
    logits(feature.putArray("neg_values"), latent.lowered());
    strings(feature.putArray("pos_str"), shown.raised());
    logits(feature.putArray("pos_values"), latent.raised());
    feature.put("frac_nonzero", latent.density());
    bars(feature, latent.logActivations());
    ArrayNode activations = feature.putArray("activations");
    for (int i = 0; i < latent.examples().size(); i++) {
      activations.add(activation(latent, latent.examples().get(i), shown.examples().get(i)));
    }
    return feature;
  }

  /**
   * The bins between the first and the last that is not empty, by the activation at their middle.
   */
  private static void bars(ObjectNode feature, Histogram log10) {
    ArrayNode heights = feature.putArray("freq_hist_data_bar_heights");
    ArrayNode values = feature.putArray("freq_hist_data_bar_values");
    List<Long> counts = log10.counts();
    int first = 0;
    int end = counts.size();
    while (first < end && counts.get(first) == 0) {
      first++;
    }
    while (end > first && counts.get(end - 1) == 0) {
      end--;
    }
    double width = (log10.high() - log10.low()) / counts.size();
    for (int bin = first; bin < end; bin++) {
      heights.add(counts.get(bin));
      values.add(Math.pow(10, log10.low() + (bin + 0.5) * width));
    }
  }

  private static ObjectNode activation(
      LatentDescription latent, Example example, List<String> tokens) {
    ObjectNode activation =
        Json.mapper()
            .createObjectNode()
            .put("bin_min", NO_BIN)
            .put("bin_max", latent.maxActivation())
            .put("bin_contains", NO_BIN)
            .put("qualifying_token_index", example.position());
    strings(activation.putArray("tokens"), tokens);
    example.activations().forEach(activation.putArray("values")::add);
    return activation;
  }

  private static void strings(ArrayNode into, List<String> texts) {
    texts.forEach(into::add);
  }

  private static void logits(ArrayNode into, List<TokenEffect> effects) {
    effects.forEach(effect -> into.add(effect.logit()));
  }
}
