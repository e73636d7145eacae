package io.faithfulsae.metrics;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.LatentDescription.Snippets;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.metrics.SharedFeatures.Agreement;
import io.faithfulsae.metrics.SharedFeatures.Neurons;
import io.faithfulsae.metrics.internal.BothMatchings;
import io.faithfulsae.metrics.internal.CorrelatedLatents;
import io.faithfulsae.metrics.internal.Curves;
import io.faithfulsae.metrics.internal.DataSets;
import io.faithfulsae.metrics.internal.FeatureMatching;
import io.faithfulsae.metrics.internal.FeatureRecovery;
import io.faithfulsae.metrics.internal.LatentDescriptions;
import io.faithfulsae.metrics.internal.LatentUse;
import io.faithfulsae.metrics.internal.ModelCost;
import io.faithfulsae.metrics.internal.NeuronMatching;
import io.faithfulsae.metrics.internal.NoiseResponse;
import io.faithfulsae.metrics.internal.Reconstructions;
import io.faithfulsae.metrics.internal.SnippetSampler;
import io.faithfulsae.metrics.internal.probe.Prober;
import io.faithfulsae.synthetic.SyntheticFeatures.Superposition;
import java.io.IOException;
import java.util.List;
import java.util.function.LongConsumer;

/**
 * Measures SAEs. Each function reads its arguments, changes none of them, closes what it opened,
 * and returns a record whose documentation defines every number in it and which Jackson writes as
 * it is.
 *
 * <p>The same arguments give the same result on the same backend. <b>Threads</b>: as the SAE and
 * the model allow.
 */
public final class Metrics {
  private Metrics() {}

  /**
   * Measures how well an SAE reconstructs activations, in one pass.
   *
   * @param source rows as wide as the SAE; what its filter leaves out is not measured
   * @param maxRows rows to read at most
   * @throws IllegalArgumentException if there are no rows, their width differs or one holds NaN or
   *     infinity
   */
  public static Reconstruction reconstruction(Sae sae, ActivationSource source, long maxRows)
      throws IOException {
    return reconstruction(List.of(sae), source, maxRows).get(0);
  }

  /** Measures several SAEs of one backend as above, one result each; the source is read once. */
  public static List<Reconstruction> reconstruction(
      List<Sae> saes, ActivationSource source, long maxRows) throws IOException {
    return Reconstructions.measure(saes, source, maxRows);
  }

  /**
   * Measures what an SAE's reconstruction in place of the residual stream costs the language model.
   *
   * <p>Holds the logits of a batch twice: 256 MiB, or two sequences' where those are larger.
   *
   * @param activations those that are replaced. Sequences of fewer than two tokens are left out;
   *     positions that the filter leaves out keep their own activations. The text is opened twice,
   *     since the mean that is ablated with comes first
   * @param maxTokens whole sequences are read until at least as many positions were predicted
   * @throws IllegalArgumentException if there is no text, the SAE is not as wide as the model, or a
   *     sequence is longer than the model's context
   */
  public static CrossEntropy crossEntropy(Sae sae, ModelActivations activations, long maxTokens)
      throws IOException {
    return crossEntropy(List.of(sae), activations, maxTokens).get(0);
  }

  /**
   * Measures several SAEs of one backend as above, one result each; what does not depend on the SAE
   * is run once.
   */
  public static List<CrossEntropy> crossEntropy(
      List<Sae> saes, ModelActivations activations, long maxTokens) throws IOException {
    return ModelCost.measure(saes, activations, maxTokens);
  }

  /**
   * Finds which latents two SAEs share, by their directions.
   *
   * <p>Takes {@link SharedFeatures#bytesNeeded} of heap, which is logged before it starts, and up
   * to O(d_sae³) time; seconds at d_sae = 18,432.
   *
   * @throws IllegalArgumentException if the SAEs differ in width, the threshold is no cosine, or
   *     the heap cannot hold the matrix
   */
  public static SharedFeatures sharedFeatures(Sae a, Sae b, SharedFeatures.Options options) {
    return FeatureMatching.compare(a, b, options);
  }

  /**
   * Measures how well an SAE found features that are known.
   *
   * <p>Takes {@link SharedFeatures#bytesNeeded} of heap for the cosines of latents and features.
   *
   * @param truth rows and the features that they are made of
   * @param maxRows rows to read at most, from the first on
   * @param threshold cosine above which a latent stands for a feature, 0.9 is usual
   * @throws IllegalArgumentException if the widths differ, the threshold is no cosine, a row holds
   *     NaN or infinity, or the heap cannot hold the cosines
   */
  public static GroundTruth groundTruth(
      Sae sae, Superposition truth, long maxRows, double threshold) throws IOException {
    return groundTruth(List.of(sae), truth, maxRows, threshold).get(0);
  }

  /** Measures several SAEs of one backend as above, one result each; the rows are drawn once. */
  public static List<GroundTruth> groundTruth(
      List<Sae> saes, Superposition truth, long maxRows, double threshold) throws IOException {
    return FeatureRecovery.measure(saes, truth, maxRows, threshold);
  }

  /**
   * Counts the latents of an SAE that fire on noise and, if a text is given, compares how active
   * they are on noise and on text. For that it holds, of each SAE, 8 bytes for each latent active
   * at a position of the text, and 1 KiB a latent.
   *
   * @throws IllegalArgumentException if the context length exceeds the model's, the SAE is not as
   *     wide as the model, or the filter leaves nothing
   */
  public static FakeFeatures fakeFeatures(Sae sae, HookedModel on, FakeFeatures.Options options)
      throws IOException {
    return fakeFeatures(List.of(sae), on, options).get(0);
  }

  /** Counts in several SAEs of one backend as above, one result each; the model runs once. */
  public static List<FakeFeatures> fakeFeatures(
      List<Sae> saes, HookedModel on, FakeFeatures.Options options) throws IOException {
    return NoiseResponse.measure(saes, on, options);
  }

  /**
   * Counts the latents of SAEs that fire on noise, one result each, on existing activations, such
   * as those of a synthetic source. Instead of {@code contextLength − 1} tokens behind BOS, a
   * sequence is as many neighbouring rows; filter and text of the options are not used, and model
   * and hook of the results are empty.
   *
   * @param noise rows to be held for noise, at least {@code noiseSequences} sequences of them
   * @param ordinary rows as they are in distribution, of which at most {@code textSequences}
   *     sequences are read
   * @throws IllegalArgumentException if there are too few rows, or their width is not the SAEs'
   */
  public static List<FakeFeatures> fakeFeatures(
      List<Sae> saes,
      ActivationSource noise,
      ActivationSource ordinary,
      FakeFeatures.Options options)
      throws IOException {
    return NoiseResponse.measure(saes, noise, ordinary, options);
  }

  /**
   * Evaluates SAEs of one backend with other k than they were trained with, one result each. Rows
   * are encoded once, with the largest k: a smaller k is the beginning of the same latents.
   *
   * @param activations on text that the SAEs were not trained on
   * @throws IllegalArgumentException as {@link #reconstruction}, {@link #crossEntropy} and {@link
   *     #fakeFeatures} say, or if a k exceeds dSae
   */
  public static List<KCurve> kCurves(
      List<Sae> saes, ModelActivations activations, KCurve.Options options) throws IOException {
    return Curves.byK(saes, activations, options);
  }

  /**
   * Counts how much each latent is used, by which latents can be ranked; one result for each SAE of
   * one backend. Takes 4 bytes of heap per element of the decoder.
   *
   * @param maxRows rows to read at most
   */
  public static List<LatentStatistics> latentStatistics(
      List<Sae> saes, ActivationSource source, long maxRows) throws IOException {
    return LatentUse.of(saes, source, maxRows);
  }

  /**
   * Evaluates an SAE with the best and with the worst of its latents alone, one result for each
   * ranking. Rows are encoded once.
   *
   * @param rankings latents, best first, as {@link LatentStatistics#ranking} gives them; made on
   *     other text than that of the activations, or the best are the best by chance too
   * @throws IllegalArgumentException as {@link #reconstruction} and {@link #crossEntropy} say, or
   *     if a ranking names what is no latent
   */
  public static List<FeatureSubsets> featureSubsets(
      Sae sae,
      List<List<Integer>> rankings,
      ModelActivations activations,
      FeatureSubsets.Options options)
      throws IOException {
    return Curves.bySubset(sae, rankings, activations, options);
  }

  /**
   * Fits linear probes for a text task on activations, on the latents of SAEs and on their
   * reconstructions, one result for each SAE; the model runs once for all.
   *
   * <p>Holds the pooled vectors of all examples: 4 bytes an element of x and x̂, 8 bytes an active
   * latent, and while a probe is fitted about 32 bytes an element of its training vectors.
   *
   * @param onRead called with the number of examples that the model has read
   * @throws IllegalArgumentException if an SAE is not as wide as the model, a text is longer than
   *     its context, or there are too few examples
   */
  public static List<Probing> probe(
      List<Sae> saes,
      HookedModel on,
      ProbeTask task,
      Probing.Options options,
      LongConsumer onRead) {
    return Prober.probe(saes, on, task, options, onRead);
  }

  /**
   * How much a linear probe for a text task leans on each latent, one list for each SAE: the root
   * of the summed squares of its weights over the classes, of the probe that {@link #probe} fits on
   * latents. For ranking latents by {@link LatentStatistics#ranking(List)}.
   *
   * @param onRead called with the number of examples that the model has read
   * @throws IllegalArgumentException as {@link #probe} says, or if the protocol is not the clean
   *     one
   */
  public static List<List<Double>> probeWeights(
      List<Sae> saes,
      HookedModel on,
      ProbeTask task,
      Probing.Options options,
      LongConsumer onRead) {
    return Prober.weights(saes, on, task, options, onRead);
  }

  /**
   * Describes latents: where they fire, how strongly, with which others, and which tokens they
   * promote. Reads the text once for all of them.
   *
   * @param latents different ones, in the order of the results
   * @throws IllegalArgumentException if a latent is not of the SAE, the SAE is not as wide as the
   *     model, or there is no text
   */
  public static List<LatentDescription> describe(
      Sae sae,
      List<Integer> latents,
      ModelActivations activations,
      LatentDescription.Options options)
      throws IOException {
    return LatentDescriptions.of(sae, latents, activations, options);
  }

  /**
   * Draws snippets of text in which latents fire and in which they do not, for judging explanations
   * by detection. Reads the text once for all of them.
   *
   * @param latents different ones, in the order of the results
   * @throws IllegalArgumentException if a latent is not of the SAE, or the SAE is not as wide as
   *     the model
   */
  public static List<Snippets> snippets(
      Sae sae, List<Integer> latents, ModelActivations activations, Snippets.Options options)
      throws IOException {
    return SnippetSampler.draw(sae, latents, activations, options);
  }

  /**
   * Correlates what the latents of two SAEs of one backend do on the same rows; of one SAE where
   * both are the same.
   *
   * @throws IllegalArgumentException if there are no rows, a width differs, or a latent is not of a
   */
  public static LatentCorrelations latentCorrelations(
      Sae a, Sae b, ActivationSource source, LatentCorrelations.Options options)
      throws IOException {
    return CorrelatedLatents.of(a, b, source, options);
  }

  /**
   * Compares the neurons of two SAEs of one shape, as the authors do beside features.
   *
   * @param options whose threshold is the cosine above which neurons count in the shares; the
   *     listener hears nothing
   * @throws IllegalArgumentException if the shapes differ
   */
  public static Neurons sharedNeurons(Sae a, Sae b, SharedFeatures.Options options) {
    return NeuronMatching.compare(a, b, options);
  }

  /**
   * Counts the latents that two SAEs share by decoder and encoder alike. Heap and time as {@link
   * #sharedFeatures}, twice the time.
   */
  public static Agreement matchingAgreement(Sae a, Sae b, double threshold) {
    return BothMatchings.compare(a, b, threshold);
  }

  /**
   * Counts what a data set consists of, and how varied it is. Takes 64 bytes of heap per token.
   *
   * @param data whole sequences or documents, each starting with BOS
   * @param maxTokens whole sequences are read until at least as many tokens were seen
   * @throws IllegalArgumentException if there are no tokens
   */
  public static DataSetStatistics dataSet(TokenSource data, long maxTokens) throws IOException {
    return DataSets.count(data, maxTokens);
  }

  /**
   * Compares the first tokens of a data set, right after BOS, with what the model puts there.
   *
   * @param data whole documents, each behind a BOS
   * @throws IllegalArgumentException if no document has two tokens
   */
  public static FirstTokens firstTokens(TokenSource data, LanguageModel model, long maxTokens)
      throws IOException {
    return DataSets.firstTokens(data, model, maxTokens);
  }

  /**
   * The share of another set's different n-grams that a data set holds as well.
   *
   * @param n tokens an n-gram, 1 for the vocabulary
   * @throws IllegalArgumentException if either has none
   */
  public static double coverage(TokenSource data, TokenSource other, int n, long maxTokens)
      throws IOException {
    return DataSets.coverage(data, other, n, maxTokens);
  }
}
