package io.faithfulsae.metrics;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.HookPoint;
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
 * Measures SAEs. No function modifies its arguments. Each closes what it opened and returns a
 * record that documents every number in it and that Jackson can serialize as it is.
 *
 * <p>They work for every {@link io.faithfulsae.Activation}. A latent fires where its value z is not
 * 0; z is below 0 only in an AbsTopK SAE, of which |z| is compared with thresholds and averaged.
 * BatchTopK without a threshold chooses latents per batch, and so its results depend on how rows
 * fall into batches: on the order of a source's rows, and on the number of sequences per pass.
 *
 * <p>Of a transcoder, which predicts other activations than it reads, what compares x̂ with x
 * cannot be measured: {@link #latentStatistics}, {@link #groundTruth} and what is based on them
 * refuse it. {@link #reconstruction(List, ActivationSource, ActivationSource, long)} takes the
 * activations to predict as a second source, and {@link #crossEntropy(List, ModelActivations,
 * HookPoint, long)} the hook point where they are.
 *
 * <p>Results are deterministic on a given backend. <b>Threads</b>: as safe as the SAE and the model
 * passed in.
 */
public final class Metrics {
  private Metrics() {}

  /**
   * Measures how well an SAE reconstructs activations, in one pass.
   *
   * @param source rows as wide as the SAE; rows that its filter excludes are not measured
   * @param maxRows maximum number of rows to read
   * @throws IllegalArgumentException if there are no rows, their width differs from the SAE's, or
   *     one contains NaN or infinity
   */
  public static Reconstruction reconstruction(Sae sae, ActivationSource source, long maxRows)
      throws IOException {
    return reconstruction(List.of(sae), source, maxRows).get(0);
  }

  /** Measures several SAEs on one backend in a single pass over the source; one result each. */
  public static List<Reconstruction> reconstruction(
      List<Sae> saes, ActivationSource source, long maxRows) throws IOException {
    return Reconstructions.measure(saes, source, maxRows);
  }

  /**
   * Measures how well transcoders predict other activations than they read. The results are those
   * of a reconstruction in which x stands for the targets.
   *
   * @param source rows that the transcoders read
   * @param targets as many rows, each with what is to be predicted from the same row of {@code
   *     source}; a filter by norm would drop different rows of the two
   * @throws IllegalArgumentException under the conditions of {@link #reconstruction(Sae,
   *     ActivationSource, long)}, or if the targets have another width than the transcoders write,
   *     or are more or fewer than the rows
   */
  public static List<Reconstruction> reconstruction(
      List<Sae> saes, ActivationSource source, ActivationSource targets, long maxRows)
      throws IOException {
    return Reconstructions.measure(saes, source, targets, maxRows);
  }

  /**
   * Measures what replacing the residual stream by an SAE's reconstruction costs the language
   * model.
   *
   * <p>Keeps two copies of a batch's logits in memory: 256 MiB, or two sequences' logits if that is
   * more.
   *
   * @param activations the activations to replace. Sequences of fewer than two tokens are skipped;
   *     positions that the filter excludes keep their own activations. The text is opened twice,
   *     because mean ablation needs the mean first
   * @param maxTokens whole sequences are read until at least this many positions have been
   *     predicted
   * @throws IllegalArgumentException if there is no text, the SAE and the model differ in width, or
   *     a sequence is longer than the model's context
   */
  public static CrossEntropy crossEntropy(Sae sae, ModelActivations activations, long maxTokens)
      throws IOException {
    return crossEntropy(List.of(sae), activations, maxTokens).get(0);
  }

  /**
   * Measures several SAEs on one backend, one result each; whatever does not depend on the SAE runs
   * once.
   */
  public static List<CrossEntropy> crossEntropy(
      List<Sae> saes, ModelActivations activations, long maxTokens) throws IOException {
    return ModelCost.measure(saes, activations, maxTokens);
  }

  /**
   * Measures what it costs the language model to compute activations at one hook point by
   * transcoders from those at another. All else is as with SAEs: at the same positions, the
   * activations at the target are replaced by zeros and by their mean as well.
   *
   * @param activations what the transcoders read
   * @param target where their outputs replace the activations; not before what they read
   * @throws IllegalArgumentException as above, or if one writes another width than the model's, or
   *     the model does not have the target
   */
  public static List<CrossEntropy> crossEntropy(
      List<Sae> transcoders, ModelActivations activations, HookPoint target, long maxTokens)
      throws IOException {
    return ModelCost.measure(transcoders, activations, target, maxTokens);
  }

  /**
   * Finds the latents that two SAEs share, by comparing their directions.
   *
   * <p>Needs {@link SharedFeatures#bytesNeeded} bytes of heap, logged before it starts, and
   * O(d_sae³) time in the worst case; seconds in practice at d_sae = 18,432.
   *
   * @throws IllegalArgumentException if the SAEs differ in width, the threshold is outside [-1, 1],
   *     or the matrix does not fit in the heap
   */
  public static SharedFeatures sharedFeatures(Sae a, Sae b, SharedFeatures.Options options) {
    return FeatureMatching.compare(a, b, options);
  }

  /**
   * Measures how well an SAE recovers known features.
   *
   * <p>Needs {@link SharedFeatures#bytesNeeded} bytes of heap for the cosines between latents and
   * features.
   *
   * @param truth rows and the features they are made of
   * @param maxRows maximum number of rows to read, starting with the first
   * @param threshold cosine above which a latent stands for a feature; 0.9 is common
   * @throws IllegalArgumentException if the widths differ, the threshold is outside [-1, 1], a row
   *     contains NaN or infinity, or the cosines do not fit in the heap
   */
  public static GroundTruth groundTruth(
      Sae sae, Superposition truth, long maxRows, double threshold) throws IOException {
    return groundTruth(List.of(sae), truth, maxRows, threshold).get(0);
  }

  /** Measures several SAEs on one backend, one result each; the rows are drawn once. */
  public static List<GroundTruth> groundTruth(
      List<Sae> saes, Superposition truth, long maxRows, double threshold) throws IOException {
    return FeatureRecovery.measure(saes, truth, maxRows, threshold);
  }

  /**
   * Counts the latents of an SAE that fire on noise and, if a text is given, compares how active
   * they are on noise and on text. The comparison keeps, per SAE, 8 bytes for each active latent at
   * each position of the text, and 1 KiB per latent.
   *
   * @throws IllegalArgumentException if the context length exceeds the model's, the SAE and the
   *     model differ in width, or the filter keeps nothing
   */
  public static FakeFeatures fakeFeatures(Sae sae, HookedModel on, FakeFeatures.Options options)
      throws IOException {
    return fakeFeatures(List.of(sae), on, options).get(0);
  }

  /** Measures several SAEs on one backend, one result each; the model runs once. */
  public static List<FakeFeatures> fakeFeatures(
      List<Sae> saes, HookedModel on, FakeFeatures.Options options) throws IOException {
    return NoiseResponse.measure(saes, on, options);
  }

  /**
   * Counts the latents of SAEs that fire on noise, using existing activations, such as those of a
   * synthetic source; one result each. A sequence is {@code contextLength − 1} consecutive rows
   * instead of that many tokens after BOS. The filter and text of the options are ignored, and the
   * model and hook of the results are empty.
   *
   * @param noise rows that count as noise, at least {@code noiseSequences} sequences
   * @param ordinary in-distribution rows; at most {@code textSequences} sequences are read
   * @throws IllegalArgumentException if there are too few rows, or their width differs from the
   *     SAEs'
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
   * Evaluates SAEs on one backend with values of k other than the one used in training, one result
   * each. TopK encodes rows once, with the largest k; the latents of a smaller k are the first of
   * those.
   *
   * @param activations on text that the SAEs were not trained on
   * @throws IllegalArgumentException under the conditions of {@link #reconstruction}, {@link
   *     #crossEntropy} and {@link #fakeFeatures}, or if a k exceeds dSae, or the activation of an
   *     SAE has no k, as ReLU
   */
  public static List<KCurve> kCurves(
      List<Sae> saes, ModelActivations activations, KCurve.Options options) throws IOException {
    return Curves.byK(saes, activations, options);
  }

  /**
   * Measures how much each latent is used, as a basis for ranking latents; one result per SAE, all
   * on one backend. Needs 4 bytes of heap per element of the decoder.
   *
   * @param maxRows maximum number of rows to read
   */
  public static List<LatentStatistics> latentStatistics(
      List<Sae> saes, ActivationSource source, long maxRows) throws IOException {
    return LatentUse.of(saes, source, maxRows);
  }

  /**
   * Evaluates an SAE with only the best, and only the worst, of its latents; one result per
   * ranking. Rows are encoded once.
   *
   * @param rankings latents, best first, as returned by {@link LatentStatistics#ranking}; ranked on
   *     different text from the activations', or selection bias flatters the best
   * @throws IllegalArgumentException under the conditions of {@link #reconstruction} and {@link
   *     #crossEntropy}, or if a ranking contains a number that is not a latent
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
   * reconstructions, one result per SAE; the model runs once for all.
   *
   * <p>Keeps the pooled vectors of all examples in memory: 4 bytes per element of x and x̂, 8 bytes
   * per active latent, and, while a probe is fitted, about 32 bytes per element of its training
   * vectors.
   *
   * @param onRead called with the number of examples that the model has processed so far
   * @throws IllegalArgumentException if an SAE and the model differ in width, a text is longer than
   *     the model's context, or there are too few examples
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
   * Measures how much a linear probe for a text task relies on each latent, one list per SAE: the
   * L2 norm, over the classes, of the latent's weights in the probe that {@link #probe} fits on
   * latents. Intended for ranking latents with {@link LatentStatistics#ranking(List)}.
   *
   * @param onRead called with the number of examples that the model has processed so far
   * @throws IllegalArgumentException under the conditions of {@link #probe}, or if the protocol is
   *     not {@link Probing.Protocol#CLEAN}
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
   * promote. Reads the text once for all latents.
   *
   * @param latents distinct latents, in the order of the results
   * @throws IllegalArgumentException if the SAE has no such latent, the SAE and the model differ in
   *     width, or there is no text
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
   * Draws snippets of text in which latents fire, and in which they do not, for scoring
   * explanations by detection. Reads the text once for all latents.
   *
   * @param latents distinct latents, in the order of the results
   * @throws IllegalArgumentException if the SAE has no such latent, or the SAE and the model differ
   *     in width
   */
  public static List<Snippets> snippets(
      Sae sae, List<Integer> latents, ModelActivations activations, Snippets.Options options)
      throws IOException {
    return SnippetSampler.draw(sae, latents, activations, options);
  }

  /**
   * Correlates the activations of the latents of two SAEs on one backend over the same rows. Pass
   * the same SAE twice to correlate its latents with each other.
   *
   * @throws IllegalArgumentException if there are no rows, the widths differ, or a requested latent
   *     is not one of {@code a}'s
   */
  public static LatentCorrelations latentCorrelations(
      Sae a, Sae b, ActivationSource source, LatentCorrelations.Options options)
      throws IOException {
    return CorrelatedLatents.of(a, b, source, options);
  }

  /**
   * Compares the neurons of two SAEs of the same shape, as the authors do in addition to their
   * features.
   *
   * @param options its threshold is the cosine above which a neuron counts in the shares; its
   *     listener is never called
   * @throws IllegalArgumentException if the shapes differ
   */
  public static Neurons sharedNeurons(Sae a, Sae b, SharedFeatures.Options options) {
    return NeuronMatching.compare(a, b, options);
  }

  /**
   * Counts the latents that two SAEs share by decoder and encoder alike. Needs the same heap as
   * {@link #sharedFeatures} and twice the time.
   */
  public static Agreement matchingAgreement(Sae a, Sae b, double threshold) {
    return BothMatchings.compare(a, b, threshold);
  }

  /**
   * Measures the size and diversity of a data set. Needs 64 bytes of heap per token.
   *
   * @param data whole sequences or documents, each starting with BOS
   * @param maxTokens whole sequences are read until at least this many tokens have been seen
   * @throws IllegalArgumentException if there are no tokens
   */
  public static DataSetStatistics dataSet(TokenSource data, long maxTokens) throws IOException {
    return DataSets.count(data, maxTokens);
  }

  /**
   * Compares the first tokens of a data set, right after BOS, with the model's own distribution
   * there.
   *
   * @param data whole documents, each starting with BOS
   * @throws IllegalArgumentException if no document has two tokens
   */
  public static FirstTokens firstTokens(TokenSource data, LanguageModel model, long maxTokens)
      throws IOException {
    return DataSets.firstTokens(data, model, maxTokens);
  }

  /**
   * Computes the share of another data set's distinct n-grams that also occur in this one.
   *
   * @param n tokens per n-gram; 1 compares vocabularies
   * @throws IllegalArgumentException if either has none
   */
  public static double coverage(TokenSource data, TokenSource other, int n, long maxTokens)
      throws IOException {
    return DataSets.coverage(data, other, n, maxTokens);
  }
}
