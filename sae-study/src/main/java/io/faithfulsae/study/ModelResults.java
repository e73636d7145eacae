package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.NoiseAgainstText;
import io.faithfulsae.metrics.Probing;
import io.faithfulsae.metrics.Reconstruction;
import io.faithfulsae.metrics.SharedFeatures;
import io.faithfulsae.study.CurveResults.AtK;
import io.faithfulsae.study.CurveResults.SeedAgreement;
import io.faithfulsae.study.CurveResults.Subsets;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * All results of a study for one model. The metrics' own Javadoc defines their fields.
 *
 * @param name of the model in the study
 * @param config all its settings
 * @param model the language model
 * @param maxNorm rows with a larger norm are left out everywhere; infinity for no bound
 * @param dataSets what the SAEs were trained on
 * @param commonText the held-out text on which all SAEs are compared; null if there is none
 * @param saes one for each data set, variant and seed
 * @param seedPairs SAEs of one data set compared across seeds
 * @param seedAgreements the same pairs compared by more than decoder directions
 * @param probing results of linear probes, averaged over seeds
 * @param comparisons the first data set with each of the others
 * @param failures parts of the study that failed; the rest was completed without them
 */
public record ModelResults(
    String name,
    StudyConfig config,
    Model model,
    double maxNorm,
    List<DataSet> dataSets,
    @Nullable CommonText commonText,
    List<TrainedSae> saes,
    List<SeedPair> seedPairs,
    List<SeedAgreement> seedAgreements,
    List<ProbingMean> probing,
    List<Comparison> comparisons,
    List<Failure> failures) {

  /**
   * A part that failed; running the same command again retries it.
   *
   * @param part the step
   * @param problem what went wrong
   */
  public record Failure(String part, String problem) {}

  /**
   * The language model.
   *
   * @param name its name
   * @param dModel width of the residual stream
   * @param blocks number of blocks
   * @param vocabulary tokens in the vocabulary
   * @param contextLength the longest sequence
   * @param hook where activations were read
   * @param dIn width of the activations there
   * @param hash SHA-256 of its files
   */
  public record Model(
      String name,
      int dModel,
      int blocks,
      int vocabulary,
      int contextLength,
      String hook,
      int dIn,
      String hash) {}

  /**
   * A data set.
   *
   * @param name its name
   * @param origin where the text comes from
   * @param sequences number of token sequences, including held-out ones
   * @param heldOutSequences the last ones, excluded from training
   * @param tokens number of tokens, including each sequence's BOS
   * @param distinctTokens number of distinct tokens
   * @param hash SHA-256 of the token sequences
   * @param faithfulShare share that the model generated itself, in [0, 1]
   * @param random name of the random generator that drew its tokens; null if the model did not
   *     generate it
   * @param check its contents, and whether it is the model's own; null for a mixture, or if turned
   *     off or failed settings turn that off or it failed
   * @param norms norms at the hook
   * @param samples the texts of some sequences
   */
  public record DataSet(
      String name,
      String origin,
      long sequences,
      long heldOutSequences,
      long tokens,
      int distinctTokens,
      String hash,
      double faithfulShare,
      @Nullable String random,
      @Nullable DataSetCheck check,
      Norms norms,
      List<String> samples) {}

  /**
   * The text on which all SAEs of a model are evaluated.
   *
   * @param description in words
   * @param of the data sets whose held-out text it contains
   * @param sequences number of sequences, the same from each; how many are read depends on the
   *     {@code evaluation} settings
   */
  public record CommonText(String description, List<String> of, long sequences) {}

  /**
   * Norms of the residual stream at the hook, over the first sequences of the training part.
   *
   * @param median over the rows that pass the position and token filters
   * @param rows number of these rows
   * @param meanByPosition mean norm by position in the sequence, unfiltered
   */
  public record Norms(double median, long rows, List<Double> meanByPosition) {}

  /**
   * One SAE.
   *
   * @param name data set, variant and seed
   * @param dataSet what it was trained on
   * @param variant what distinguishes it besides the seed, as in {@link Variant#label}; empty if
   *     there is only one variant
   * @param dSae latents
   * @param k active latents per token
   * @param preset whose trainer was used
   * @param lr peak learning rate
   * @param seed of initial weights and shuffling
   * @param folder relative to the study's folder
   * @param steps training steps
   * @param rows rows trained on
   * @param counts rows that the source kept and left out during training
   * @param curve training loss
   * @param common its evaluation on the common text; null if that failed
   * @param on its evaluation on each data set's held-out part; without those that failed
   * @param fake its response to random tokens; null if that failed
   * @param fakeVariants the same by other definitions, by their names {@code sequences} and {@code
   *     relative}
   * @param byK with other k, ascending
   * @param subsets with only some of its latents
   * @param probing results of linear probes for each task
   */
  public record TrainedSae(
      String name,
      String dataSet,
      String variant,
      int dSae,
      int k,
      Recipe preset,
      double lr,
      long seed,
      String folder,
      long steps,
      long rows,
      ActivationFilter.Counts counts,
      List<CurvePoint> curve,
      @Nullable Evaluation common,
      Map<String, Evaluation> on,
      @Nullable Fake fake,
      Map<String, Fake> fakeVariants,
      List<AtK> byK,
      List<Subsets> subsets,
      Map<String, Probing> probing) {

    /** The evaluation on the held-out part of its own data set. */
    public Optional<Evaluation> own() {
      return on(dataSet);
    }

    /** The evaluation on the held-out part of a data set; empty if it failed. */
    public Optional<Evaluation> on(String name) {
      return Optional.ofNullable(on.get(name));
    }
  }

  /**
   * The {@link FakeFeatures} of an SAE, without resamples; the settings are in {@code
   * config.fakeFeatures}.
   *
   * @param definition of a fake feature
   * @param noiseAgainstText what separates noise from text, and the latents that are more active on
   *     noise; null for the other definitions, for which it is the same
   * @param count number of fake latents
   * @param ratio Fake Feature Ratio
   * @param interval the ratio's interval over latents and noise sequences
   * @param firingOnTextToo how many of them fire as often on the held-out text of the SAE's own
   *     data set
   * @param latents their indices
   * @param noiseRates firing rate of each on random tokens
   * @param textRates firing rate of each on the held-out text
   * @param noise activation statistics of the random tokens
   * @param text activation statistics of the held-out text
   */
  public record Fake(
      FakeFeatures.Definition definition,
      @Nullable NoiseAgainstText noiseAgainstText,
      int count,
      double ratio,
      BootstrapInterval interval,
      int firingOnTextToo,
      List<Integer> latents,
      List<Double> noiseRates,
      List<Double> textRates,
      FakeFeatures.Sample noise,
      FakeFeatures.Sample text) {

    static Fake of(FakeFeatures fake) {
      NoiseAgainstText against = fake.noiseAgainstText();
      return of(fake, against == null ? null : against.counted());
    }

    static Fake variant(FakeFeatures fake) {
      return of(fake, null);
    }

    private static Fake of(FakeFeatures fake, @Nullable NoiseAgainstText against) {
      return new Fake(
          fake.options().definition(),
          against,
          fake.count(),
          fake.ratio(),
          fake.interval(),
          fake.firingOnTextToo(),
          fake.fakeLatents(),
          fake.noiseRates(),
          fake.textRates(),
          fake.noise(),
          fake.text());
    }
  }

  /**
   * Training at one step.
   *
   * @param step index of the step
   * @param loss total loss of its batch
   * @param fvu fraction of variance unexplained in its batch
   * @param dead dead latents by the trainer's criterion
   */
  public record CurvePoint(long step, double loss, double fvu, long dead) {}

  /**
   * One SAE on one data set.
   *
   * @param reconstruction of activations
   * @param crossEntropy of the model with the reconstruction substituted
   */
  public record Evaluation(Reconstruction reconstruction, CrossEntropy crossEntropy) {}

  /**
   * Two SAEs of one data set.
   *
   * @param dataSet what both were trained on
   * @param variant of both
   * @param k active latents per token of both
   * @param first name of one
   * @param second name of the other
   * @param decoder features shared by decoder directions: the Shared Feature Ratio
   * @param encoder the same by encoder directions
   */
  public record SeedPair(
      String dataSet,
      String variant,
      int k,
      String first,
      String second,
      SharedFeatures decoder,
      SharedFeatures encoder) {}

  /**
   * Two data sets.
   *
   * @param variant of the SAEs
   * @param k active latents per token of the SAEs
   * @param metric what is compared
   * @param first one data set
   * @param second the other
   * @param difference first minus second, resampled over features, noise sequences or blocks of
   *     text
   * @param holmP the p-value corrected for all comparisons of the study, across its models (Holm,
   *     1979)
   */
  public record Comparison(
      String variant,
      int k,
      String metric,
      String first,
      String second,
      BootstrapInterval.Difference difference,
      double holmP) {}

  /**
   * Results of linear probes on a task with the SAEs of one data set and variant.
   *
   * @param task the text task
   * @param dataSet what the SAEs were trained on
   * @param variant of the SAEs
   * @param seeds of the SAEs, in the order of the values
   * @param accuracy by the probe's input: {@code baseline}, {@code sae} and {@code recon}
   * @param macroF1 likewise
   */
  public record ProbingMean(
      String task,
      String dataSet,
      String variant,
      List<Long> seeds,
      Map<String, SeedMean> accuracy,
      Map<String, SeedMean> macroF1) {}

  /**
   * A mean over seeds.
   *
   * @param mean of the values
   * @param values one for each seed
   */
  public record SeedMean(double mean, List<Double> values) {
    static SeedMean of(List<Double> values) {
      return new SeedMean(
          values.stream().mapToDouble(Double::doubleValue).average().orElse(Double.NaN), values);
    }
  }

  /** The same results with other comparisons. */
  ModelResults withComparisons(List<Comparison> other) {
    return new ModelResults(
        name,
        config,
        model,
        maxNorm,
        dataSets,
        commonText,
        saes,
        seedPairs,
        seedAgreements,
        probing,
        other,
        failures);
  }
}
