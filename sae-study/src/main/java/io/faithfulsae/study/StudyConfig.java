package io.faithfulsae.study;

import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.metrics.LatentStatistics.Criterion;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.tasks.TaskFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A study's settings for one of its models; {@code default-study.yaml} explains each of them and
 * gives its default.
 *
 * @param preset {@code authors} where what the file does not say is as the study's authors have it
 *     for this model; null where it is as in the default study
 * @param model folder of the language model; null for the embedded one
 * @param hook hook point, or {@code middle}
 * @param context tokens a sequence
 * @param batchSequences sequences of a forward pass
 * @param filter what never reaches an SAE
 * @param dataSets at least one; the first is compared with each of the others
 * @param checks what is said of each data set
 * @param seeds one SAE for each on each data set
 * @param sae shape
 * @param training training
 * @param evaluation evaluation
 * @param sharedFeatures Shared Feature Ratio
 * @param fakeFeatures Fake Feature Ratio
 * @param fakeVariants Fake Feature Ratio by other definitions
 * @param kCurve the SAEs with other k
 * @param featureSubsets the SAEs with some of their latents
 * @param seedAgreement seeds compared by more than decoder directions
 * @param probing text tasks
 * @param bootstrap intervals and tests
 * @param samples texts of each data set in the report
 */
public record StudyConfig(
    @Nullable String preset,
    @Nullable String model,
    String hook,
    int context,
    int batchSequences,
    Filter filter,
    List<DataSet> dataSets,
    Checks checks,
    List<Long> seeds,
    SaeShape sae,
    TrainingSettings training,
    Evaluation evaluation,
    Shared sharedFeatures,
    FakeSettings fakeFeatures,
    FakeVariants fakeVariants,
    ByK kCurve,
    Subsets featureSubsets,
    Agreement seedAgreement,
    Probe probing,
    Bootstrap bootstrap,
    int samples) {

  /**
   * What never reaches an SAE.
   *
   * @param skipPositions leading positions of every sequence
   * @param skipBos whether BOS is left out wherever it stands
   * @param normMultiple multiple of the median norm; null for no bound
   */
  public record Filter(int skipPositions, boolean skipBos, @Nullable Double normMultiple) {}

  /**
   * One data set: one of {@code generate}, {@code file}, {@code from} and {@code mixture}.
   *
   * @param name names it in results
   * @param generate the model's own samples
   * @param file a text file, table, folder or pattern, or {@code embedded}
   * @param from what another model of the study wrote, as {@code model/data set}
   * @param lowerCase whether the file's text is lower-cased; null: where the embedded model reads
   *     it
   * @param tokens at most so many tokens; null for all of a file, and for as many of a mixture as
   *     its smallest part has
   * @param column of a table, or field of JSON lines, with the text; null: {@code text}
   * @param mixture shares of other data sets of this study by their names, summing to 1
   */
  public record DataSet(
      String name,
      @Nullable Generate generate,
      @Nullable String file,
      @Nullable String from,
      @Nullable Boolean lowerCase,
      @Nullable Long tokens,
      @Nullable String column,
      @Nullable Map<String, Double> mixture) {

    /** Copies the shares, in their order. */
    public DataSet {
      mixture = mixture == null ? null : Collections.unmodifiableMap(new LinkedHashMap<>(mixture));
    }
  }

  /**
   * What is said of each data set before any SAE reads it.
   *
   * @param tokens at most so many of each are read; 0: nothing is checked
   * @param nGrams lengths of the n-grams whose coverage of other data sets is counted
   */
  public record Checks(
      long tokens,
      @JsonFormat(with = JsonFormat.Feature.ACCEPT_SINGLE_VALUE_AS_ARRAY) List<Integer> nGrams) {

    /** Copies the list and checks it. */
    public Checks {
      nGrams = different("checks.nGrams", nGrams);
      require(tokens >= 0, "checks.tokens", "at least 0", tokens);
      require(nGrams.stream().allMatch(n -> n >= 1), "checks.nGrams", "lengths from 1", nGrams);
    }
  }

  /**
   * Sampling from BOS.
   *
   * @param tokens budget
   * @param maxLength most tokens of a text, BOS counted; the model's context where that is less
   * @param temperature above 0
   * @param topP in (0, 1]
   * @param seed of the sampling
   */
  public record Generate(long tokens, int maxLength, double temperature, double topP, long seed) {}

  /**
   * Shape of the SAEs; lists train an SAE with each value.
   *
   * @param dSae latents
   * @param k active latents a token
   */
  public record SaeShape(
      @JsonFormat(with = JsonFormat.Feature.ACCEPT_SINGLE_VALUE_AS_ARRAY) List<Integer> dSae,
      @JsonFormat(with = JsonFormat.Feature.ACCEPT_SINGLE_VALUE_AS_ARRAY) List<Integer> k) {

    /** Copies the lists and checks that they name different values. */
    public SaeShape {
      dSae = different("sae.dSae", dSae);
      k = different("sae.k", k);
      require(!dSae.isEmpty(), "sae.dSae", "at least one", dSae);
      require(!k.isEmpty(), "sae.k", "at least one", k);
    }
  }

  /**
   * Evaluation on text that was not trained on.
   *
   * @param heldOutShare last part of each data set, in (0, 1)
   * @param rows rows for the reconstruction
   * @param ceTokens tokens for the cross entropy
   * @param common data set on whose held-out text all SAEs are put side by side; null: equal parts
   *     of that of all data sets
   */
  public record Evaluation(
      double heldOutShare, long rows, long ceTokens, @Nullable String common) {}

  /**
   * Shared Feature Ratio.
   *
   * @param threshold cosine above which a pair is shared
   */
  public record Shared(double threshold) {}

  /**
   * Fake Feature Ratio by the definition of the authors' notes, and by thresholds that are relative
   * to each latent's own mean.
   *
   * @param sequences of noise, and at most as many of held-out text; 0: neither is measured
   * @param activation a latent fires in a sequence when the sum of its z is above it
   * @param frequency a latent that fires in a larger share of the sequences is fake
   * @param relativeActivation in units of the latent's own mean z on held-out text: what z must
   *     exceed at a token; the share of tokens is that of {@code fakeFeatures.frequency}
   */
  public record FakeVariants(
      int sequences, double activation, double frequency, double relativeActivation) {
    /** Checks the number. */
    public FakeVariants {
      require(sequences >= 0, "fakeVariants.sequences", "at least 0", sequences);
    }
  }

  /**
   * The SAEs with other k than they were trained with.
   *
   * @param multiples of the SAE's own k; what comes to less than 1 is 1; empty: no such step
   * @param rows held-out rows for the reconstruction
   * @param ceTokens held-out tokens for the cross entropy
   * @param fakeTokens random tokens for the Fake Feature Ratio; 0: it is not counted
   */
  public record ByK(List<Double> multiples, long rows, long ceTokens, long fakeTokens) {
    /** Copies the list and checks it. */
    public ByK {
      multiples = List.copyOf(multiples);
      require(
          multiples.stream().allMatch(m -> m >= 0 && m <= 1000),
          "kCurve.multiples",
          "numbers from 0 to 1000",
          multiples);
      require(fakeTokens >= 0, "kCurve.fakeTokens", "at least 0", fakeTokens);
    }

    /** The values of k, ascending. */
    List<Integer> ks(int own, int dSae) {
      return multiples.stream()
          .map(m -> (int) Math.max(1, Math.min(dSae, Math.round(m * own))))
          .sorted()
          .distinct()
          .toList();
    }
  }

  /**
   * The SAEs with their best and with their worst latents alone.
   *
   * @param rankBy what the latents are ranked by; empty: no such step
   * @param shares of the latents that fire, in [0, 1]
   * @param rankingRows rows of the training text on which they are ranked
   * @param rows held-out rows for the reconstruction
   * @param ceTokens held-out tokens for the cross entropy
   */
  public record Subsets(
      List<Criterion> rankBy, List<Double> shares, long rankingRows, long rows, long ceTokens) {
    /** Copies the lists and checks them. */
    public Subsets {
      rankBy = List.copyOf(rankBy);
      shares = List.copyOf(shares);
      require(
          !rankBy.contains(Criterion.PROBE_WEIGHT),
          "featureSubsets.rankBy",
          "FREQUENCY, MEAN_ACTIVATION and ATTRIBUTION",
          rankBy);
      require(
          !shares.isEmpty() && shares.stream().allMatch(share -> share >= 0 && share <= 1),
          "featureSubsets.shares",
          "shares in [0, 1]",
          shares);
    }
  }

  /**
   * Seeds compared by encoder and decoder together, by neurons, and by what their latents do.
   *
   * @param rows held-out rows on which activations are correlated; 0: no such step
   */
  public record Agreement(long rows) {
    /** Checks the number. */
    public Agreement {
      require(rows >= 0, "seedAgreement.rows", "at least 0", rows);
    }
  }

  /**
   * Downstream probing; without {@code data} and {@code tasks} there is none.
   *
   * @param data folder with the study's tasks
   * @param tasks file that describes other tasks
   * @param only some of the tasks; empty for all whose files are there
   * @param maxExamples most training and most test examples of a task
   */
  public record Probe(
      @Nullable String data, @Nullable String tasks, List<String> only, int maxExamples) {

    /** Copies the list. */
    public Probe {
      only = List.copyOf(only);
      require(data == null || tasks == null, "probing", "one of data and tasks", "both");
      require(maxExamples >= 1, "probing.maxExamples", "at least 1", maxExamples);
    }

    /** The tasks, or null if there are none. */
    @Nullable TaskFile open() throws IOException {
      if (tasks != null) {
        return TaskFile.read(Path.of(tasks));
      }
      return data == null ? null : TaskFile.builtIn(Path.of(data));
    }
  }

  /**
   * Bootstrap.
   *
   * @param resamples number
   * @param level coverage of the intervals
   * @param seed of the resampling
   */
  public record Bootstrap(int resamples, double level, long seed) {}

  /**
   * Checks what the parts that use it do not check themselves.
   *
   * @throws IllegalArgumentException naming the setting
   */
  public StudyConfig {
    dataSets = List.copyOf(dataSets);
    seeds = List.copyOf(seeds);
    require(!dataSets.isEmpty(), "dataSets", "at least one", dataSets);
    require(!seeds.isEmpty(), "seeds", "at least one", seeds);
    require(new HashSet<>(seeds).size() == seeds.size(), "seeds", "different ones", seeds);
    require(context >= 2, "context", "at least 2", context);
    require(batchSequences >= 1, "batchSequences", "at least 1", batchSequences);
    require(samples >= 0, "samples", "at least 0", samples);
    double share = evaluation.heldOutShare();
    require(share > 0 && share < 1, "evaluation.heldOutShare", "a share in (0, 1)", share);
    for (DataSet set : dataSets) {
      String at = "dataSets." + set.name();
      require(
          set.name() != null && set.name().matches("[A-Za-z0-9_-]+"),
          at,
          "a name of letters, digits, - and _",
          String.valueOf(set.name()));
      long given =
          Stream.of(set.generate(), set.file(), set.from(), set.mixture())
              .filter(x -> x != null)
              .count();
      require(given == 1, at, "one of generate, file, from and mixture", Json.line(set));
      MixtureSettings.check(at + ".mixture", set, dataSets);
    }
    Set<String> names = dataSets.stream().map(DataSet::name).collect(Collectors.toSet());
    require(names.size() == dataSets.size(), "dataSets", "different names", names);
    String common = evaluation.common();
    require(
        common == null || names.contains(common),
        "evaluation.common",
        "one of the data sets " + names,
        String.valueOf(common));
  }

  /** A copy of a setting's list, in which nothing stands twice. */
  static <T> List<T> different(String setting, @Nullable List<T> values) {
    require(values != null, setting, "a value or a list of them", "null");
    List<T> copy = List.copyOf(Objects.requireNonNull(values));
    require(new HashSet<>(copy).size() == copy.size(), setting, "different ones", copy);
    return copy;
  }

  static void require(boolean holds, String setting, String expected, Object got) {
    if (!holds) {
      throw new IllegalArgumentException(
          setting
              + ": expected "
              + expected
              + ", got "
              + got
              + "; change it in the study's configuration");
    }
  }

  /** The same with paths that are relative to a folder. */
  StudyConfig relativeTo(@Nullable Path folder) {
    // As JSON, so that what is no path need not be named.
    ObjectNode tree = (ObjectNode) Json.tree(this);
    resolve(tree, "model", folder);
    tree.path("dataSets").forEach(set -> resolve((ObjectNode) set, "file", folder));
    resolve((ObjectNode) tree.path("probing"), "data", folder);
    resolve((ObjectNode) tree.path("probing"), "tasks", folder);
    return Json.read(tree, StudyConfig.class);
  }

  private static void resolve(ObjectNode in, String setting, @Nullable Path folder) {
    String file = in.path(setting).asText("");
    if (folder != null && !file.isEmpty() && !file.equals("embedded")) {
      in.put(setting, folder.resolve(file).normalize().toString());
    }
  }
}
