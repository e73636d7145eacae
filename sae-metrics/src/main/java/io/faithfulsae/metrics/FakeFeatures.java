package io.faithfulsae.metrics;

import com.fasterxml.jackson.annotation.JsonIgnore;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.internal.GroupDifference;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Latents that fire on noise: a BOS followed by tokens drawn uniformly from the vocabulary, which
 * the model cannot make sense of.
 *
 * <p>{@link Definition#TOKENS}: a latent fires at a token when z &gt; 1.0, and is fake when it
 * fires at more than 10 % of the tokens. {@link Definition#SEQUENCES}: a latent fires in a sequence
 * when the sum of z over its tokens is &gt; 1, and is fake when it fires in more than 5 % of the
 * sequences. All comparisons are strict; {@link Options} holds the thresholds, and a result records
 * them. What an absolute threshold means depends on the scale of the activations, which is
 * therefore reported too; an option makes the threshold relative to the latent's own mean on text.
 *
 * <p>Both definitions look at noise alone, and {@code sequences} with its threshold of 1 counts
 * nearly every latent where activations are large. {@link NoiseAgainstText}, measured when a text
 * is given, compares noise with text.
 *
 * <p>Noise of which the filter keeps nothing is rejected, so there is always input. <b>Source</b>:
 * FaithfulSAE's {@code feat_match.py} (tokens) and its authors' notes (sequences).
 *
 * @param options what is counted as fake
 * @param model name of the language model; empty if activations were given
 * @param hook the hook point; empty if activations were given
 * @param dSae number of latents
 * @param noiseAgainstText how active the latents are on noise compared with text; null when no text
 *     was given
 * @param count number of fake latents
 * @param ratio Fake Feature Ratio, count / dSae, in [0, 1]
 * @param interval the ratio with an interval over latents and noise sequences: Wilson's for
 *     latents, widened by the variance over resampled sequences
 * @param fakeLatents the fake latents, ascending
 * @param noiseRates firing rate of each of them on noise: share of tokens or of sequences
 * @param textRates firing rate of each of them on text; empty when no text was given
 * @param firingOnTextToo how many of them also exceed that rate on text, and so are not specific to
 *     noise; 0 when no text was given
 * @param noise the noise as the SAE saw it
 * @param text the text as the SAE saw it
 * @param resampledCounts number of fake latents in each bootstrap resample, for comparing groups;
 *     not written as JSON
 */
public record FakeFeatures(
    Options options,
    String model,
    String hook,
    int dSae,
    @Nullable NoiseAgainstText noiseAgainstText,
    int count,
    double ratio,
    BootstrapInterval interval,
    List<Integer> fakeLatents,
    List<Double> noiseRates,
    List<Double> textRates,
    int firingOnTextToo,
    Sample noise,
    Sample text,
    @JsonIgnore List<Integer> resampledCounts) {

  /** Copies the lists. */
  public FakeFeatures {
    fakeLatents = List.copyOf(fakeLatents);
    noiseRates = List.copyOf(noiseRates);
    textRates = List.copyOf(textRates);
    resampledCounts = List.copyOf(resampledCounts);
  }

  /** The part of this result that comparing groups of SAEs needs. */
  public Resamples resamples() {
    return new Resamples(dSae, ratio, resampledCounts);
  }

  /**
   * Compares two groups of SAEs, such as the seeds of two data sets, by their mean Fake Feature
   * Ratio. Noise sequences are resampled (the same ones for all SAEs that saw the same noise) and,
   * within each resample, latents. The interval is normal, with the root mean square deviation of
   * the resampled differences from the difference itself; it does not cover the variation over
   * other seeds.
   *
   * @param first at least one result, all with the same number of resamples
   * @param second as {@code first}
   * @throws IllegalArgumentException if a group is empty, the numbers of resamples differ, or the
   *     level is out of range
   */
  public static BootstrapInterval.Difference difference(
      List<Resamples> first, List<Resamples> second, double level, long seed) {
    return GroupDifference.ofMeans(shares(first), shares(second), level, seed);
  }

  private static List<GroupDifference.Resampled> shares(List<Resamples> group) {
    return group.stream()
        .map(sae -> new GroupDifference.Resampled(sae.ratio(), sae.dSae(), sae.counts()))
        .toList();
  }

  /**
   * The part of a result that {@link FakeFeatures#difference} needs.
   *
   * @param dSae number of latents
   * @param ratio Fake Feature Ratio
   * @param counts number of fake latents in each bootstrap resample
   */
  public record Resamples(int dSae, double ratio, List<Integer> counts) {
    /** Copies the list. */
    public Resamples {
      counts = List.copyOf(counts);
    }
  }

  /** What a firing is counted over. */
  public enum Definition {
    /** Tokens: the authors' code, which gave their published numbers. */
    TOKENS,
    /** Sequences: the authors' notes. */
    SEQUENCES
  }

  /**
   * Sequences as the SAE saw them; all numbers are 0 if there were none.
   *
   * @param description description of the sequences
   * @param sequences number of sequences of which the filter kept at least one position
   * @param rows positions that the filter kept
   * @param meanNorm mean ‖x‖ over rows, the scale of the activations
   * @param meanActivation mean |z| over all (row, latent) with z ≠ 0, the scale of the latents
   * @param l0 mean number of latents with z ≠ 0 over rows
   */
  public record Sample(
      String description,
      long sequences,
      long rows,
      double meanNorm,
      double meanActivation,
      double l0) {}

  /**
   * What is counted as fake.
   *
   * @param definition what a firing is counted over
   * @param contextLength tokens per noise sequence, BOS included; text sequences are cut to this
   *     length
   * @param noiseSequences number of noise sequences
   * @param noiseTokens number of random tokens, BOS not included; the last sequence is shorter if
   *     they do not fill it. Rows of a source come in whole sequences instead
   * @param activationThreshold what z (or its sum over a sequence) must exceed
   * @param relativeThreshold whether that threshold is in units of the latent's own mean z over its
   *     firings on text (the mean over all latents if it never fired there) instead of absolute;
   *     requires a text
   * @param rateThreshold the share of tokens (or sequences) that a fake latent's firings exceed
   * @param filter selects the positions that reach the SAE, in noise and text alike
   * @param seed random seed of the noise and the bootstrap
   * @param resamples bootstrap resamples
   * @param level coverage of the interval
   * @param textSequences maximum number of text sequences to read
   * @param falseDiscoveryRate of {@link NoiseAgainstText}
   * @param minimumRatio of {@link NoiseAgainstText}
   * @param text ordinary text, for in-distribution firing rates
   */
  public record Options(
      Definition definition,
      int contextLength,
      int noiseSequences,
      long noiseTokens,
      double activationThreshold,
      boolean relativeThreshold,
      double rateThreshold,
      ActivationFilter filter,
      long seed,
      int resamples,
      double level,
      int textSequences,
      double falseDiscoveryRate,
      double minimumRatio,
      @JsonIgnore Optional<TokenSource> text) {

    private static final int MAX_TOKENS = 1 << 30;

    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException if one is out of range
     */
    public Options {
      require(contextLength >= 2, "contextLength >= 2", contextLength);
      require(noiseSequences >= 1, "noiseSequences >= 1", noiseSequences);
      require(
          (long) noiseSequences * contextLength <= MAX_TOKENS,
          "at most " + MAX_TOKENS + " tokens of noise",
          noiseSequences + " sequences of " + contextLength);
      require(
          noiseTokens > (noiseSequences - 1L) * (contextLength - 1)
              && noiseTokens <= (long) noiseSequences * (contextLength - 1),
          "noiseTokens that fill all noiseSequences, the last at least in part",
          noiseTokens);
      require(activationThreshold >= 0, "activationThreshold >= 0", activationThreshold);
      require(rateThreshold >= 0 && rateThreshold < 1, "rateThreshold in [0, 1)", rateThreshold);
      require(resamples >= 1, "resamples >= 1", resamples);
      require(level > 0 && level < 1, "level in (0, 1)", level);
      require(textSequences >= 1, "textSequences >= 1", textSequences);
      require(
          falseDiscoveryRate > 0 && falseDiscoveryRate < 1,
          "falseDiscoveryRate in (0, 1)",
          falseDiscoveryRate);
      require(minimumRatio >= 1, "minimumRatio >= 1", minimumRatio);
    }

    /**
     * Definition {@code tokens} with the authors' numbers: 1,000,000 tokens, z &gt; 1.0 at more
     * than 10 %, position 0 excluded; seed 42, 10,000 resamples, 95 %, no text.
     */
    public static Builder tokens(int contextLength) {
      return new Builder(Definition.TOKENS, contextLength, 1.0, 0.1).noiseTokens(1_000_000);
    }

    /**
     * Selects the positions that the authors' {@code feat_match.py} counts: all except the first.
     */
    public static ActivationFilter authorsFilter() {
      return new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY);
    }

    /**
     * Exactly what the authors' {@code feat_match.py} (at a98b2637) counts for their published
     * numbers: 1,000,000 tokens, drawn uniformly from the whole vocabulary, in sequences of the
     * SAE's context size that begin with BOS; only position 0 dropped, no bound on the norm; a
     * latent fires where z &gt; 1.0 and is fake at more than 10 % of the tokens. The random numbers
     * are ours.
     *
     * @param contextLength the SAE's context size
     */
    public static Builder authors(int contextLength) {
      return tokens(contextLength).filter(authorsFilter());
    }

    /**
     * Definition {@code sequences} as in the authors' notes: 1,000 sequences of noise and at most
     * 1,000 of text, sums &gt; 1 in more than 5 %; otherwise like {@link #tokens}.
     */
    public static Builder sequences(int contextLength, TokenSource heldOut) {
      return new Builder(Definition.SEQUENCES, contextLength, 1.0, 0.05)
          .noiseSequences(1_000)
          .text(heldOut, 1_000);
    }

    private static void require(boolean holds, String expected, Object got) {
      if (!holds) {
        throw new IllegalArgumentException(Expected.message(expected, got, "correct this option"));
      }
    }

    /** Builds {@link Options}; each method returns this builder. */
    public static final class Builder {
      private final Definition definition;
      private final int contextLength;
      private double activationThreshold;
      private boolean relativeThreshold;
      private double rateThreshold;
      private int noiseSequences = 1;
      private long noiseTokens;
      private ActivationFilter filter = authorsFilter();
      private long seed = 42;
      private int resamples = 10_000;
      private double level = 0.95;
      private int textSequences = 1_000;
      private double falseDiscoveryRate = 0.05;
      private double minimumRatio = 2;
      private Optional<TokenSource> text = Optional.empty();

      private Builder(Definition definition, int contextLength, double activation, double rate) {
        require(contextLength >= 2, "contextLength >= 2", contextLength);
        this.definition = definition;
        this.contextLength = contextLength;
        this.activationThreshold = activation;
        this.rateThreshold = rate;
      }

      /** Number of random tokens, BOS not included; the last sequence may be shorter. */
      public Builder noiseTokens(long tokens) {
        long perSequence = contextLength - 1L;
        this.noiseSequences =
            (int) Math.min(Integer.MAX_VALUE, (tokens + perSequence - 1) / perSequence);
        this.noiseTokens = tokens;
        return this;
      }

      /** Number of noise sequences, all of the full length. */
      public Builder noiseSequences(int sequences) {
        this.noiseSequences = sequences;
        this.noiseTokens = (long) sequences * (contextLength - 1);
        return this;
      }

      /**
       * What counts as more active on noise than on text, see {@link NoiseAgainstText}; 0.05 and 2
       * by default.
       */
      public Builder againstText(double falseDiscovery, double minRatio) {
        this.falseDiscoveryRate = falseDiscovery;
        this.minimumRatio = minRatio;
        return this;
      }

      /** What z (or its sum) must exceed, absolute. */
      public Builder activationThreshold(double threshold) {
        this.activationThreshold = threshold;
        this.relativeThreshold = false;
        return this;
      }

      /** What z (or its sum) must exceed, in units of the latent's own mean on the text. */
      public Builder relativeThreshold(double threshold) {
        this.activationThreshold = threshold;
        this.relativeThreshold = true;
        return this;
      }

      /** The share of tokens (or sequences) that a fake latent's firings exceed. */
      public Builder rateThreshold(double threshold) {
        this.rateThreshold = threshold;
        return this;
      }

      /** Selects the positions that reach the SAE; all except position 0 by default. */
      public Builder filter(ActivationFilter chosen) {
        this.filter = chosen;
        return this;
      }

      /**
       * Random seed of the noise and the bootstrap. Equal seeds give equal noise for the same
       * model.
       */
      public Builder seed(long chosen) {
        this.seed = chosen;
        return this;
      }

      /** Bootstrap resamples. */
      public Builder resamples(int number) {
        this.resamples = number;
        return this;
      }

      /** Coverage of the interval. */
      public Builder level(double coverage) {
        this.level = coverage;
        return this;
      }

      /** Ordinary text; at most {@code sequences} sequences are read. */
      public Builder text(TokenSource ordinary, int sequences) {
        this.text = Optional.of(ordinary);
        this.textSequences = sequences;
        return this;
      }

      /**
       * Checks and builds.
       *
       * @throws IllegalArgumentException if an option is out of range
       */
      public Options build() {
        return new Options(
            definition,
            contextLength,
            noiseSequences,
            noiseTokens,
            activationThreshold,
            relativeThreshold,
            rateThreshold,
            filter,
            seed,
            resamples,
            level,
            textSequences,
            falseDiscoveryRate,
            minimumRatio,
            text);
      }
    }
  }
}
