package io.faithfulsae.study;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.faithfulsae.SaeFormatException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The settings of a study; {@code default-study.yaml} explains each of them and gives its default.
 *
 * @param model folder of the language model; null for the embedded one
 * @param hook hook point, or {@code middle}
 * @param context tokens a sequence
 * @param batchSequences sequences of a forward pass
 * @param filter what never reaches an SAE
 * @param dataSets at least one; the first is compared with each of the others
 * @param seeds one SAE for each on each data set
 * @param sae shape
 * @param training training
 * @param evaluation evaluation
 * @param sharedFeatures Shared Feature Ratio
 * @param fakeFeatures Fake Feature Ratio
 * @param bootstrap intervals and tests
 * @param samples texts of each data set in the report
 */
public record StudyConfig(
    @Nullable String model,
    String hook,
    int context,
    int batchSequences,
    Filter filter,
    List<DataSet> dataSets,
    List<Long> seeds,
    SaeShape sae,
    Training training,
    Evaluation evaluation,
    Shared sharedFeatures,
    Fake fakeFeatures,
    Bootstrap bootstrap,
    int samples) {

  private static final YAMLMapper YAML =
      YAMLMapper.builder().enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES).build();

  /**
   * What never reaches an SAE.
   *
   * @param skipPositions leading positions of every sequence
   * @param skipBos whether BOS is left out wherever it stands
   * @param normMultiple multiple of the median norm; null for no bound
   */
  public record Filter(int skipPositions, boolean skipBos, @Nullable Double normMultiple) {}

  /**
   * One data set: either {@code generate} or {@code file}.
   *
   * @param name names it in results
   * @param generate the model's own samples
   * @param file a text file, or {@code embedded}
   * @param lowerCase whether the file's text is lower-cased; null: where the embedded model reads
   *     it
   * @param tokens at most so many tokens of the file; null for all
   */
  public record DataSet(
      String name,
      @Nullable Generate generate,
      @Nullable String file,
      @Nullable Boolean lowerCase,
      @Nullable Long tokens) {}

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
   * Shape of the SAEs.
   *
   * @param dSae latents
   * @param k active latents a token
   */
  public record SaeShape(int dSae, int k) {}

  /**
   * Training of each SAE; all else is the study's default of {@code TrainingConfig}.
   *
   * @param tokens rows to train on
   * @param batch rows a step
   * @param lr learning rate
   * @param warmupSteps linear warm-up
   * @param decaySteps linear decay at the end
   * @param bufferRows rows of the shuffle buffer
   */
  public record Training(
      long tokens, int batch, double lr, long warmupSteps, long decaySteps, int bufferRows) {}

  /**
   * Evaluation on text that was not trained on.
   *
   * @param heldOutShare last part of each data set, in (0, 1)
   * @param rows rows for the reconstruction
   * @param ceTokens tokens for the cross entropy
   */
  public record Evaluation(double heldOutShare, long rows, long ceTokens) {}

  /**
   * Shared Feature Ratio.
   *
   * @param threshold cosine above which a pair is shared
   */
  public record Shared(double threshold) {}

  /**
   * Fake Feature Ratio.
   *
   * @param tokens random tokens
   * @param activation a latent fires above it
   * @param frequency a latent that fires at a larger share of the tokens is fake
   * @param seed of the random tokens
   * @param textSequences held-out sequences on which the same rates are measured
   */
  public record Fake(
      long tokens, double activation, double frequency, long seed, int textSequences) {}

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
          set.name().matches("[A-Za-z0-9_-]+"),
          at,
          "a name of letters, digits, - and _",
          set.name());
      require((set.generate() == null) != (set.file() == null), at, "either generate or file", set);
    }
    Set<String> names = dataSets.stream().map(DataSet::name).collect(Collectors.toSet());
    require(names.size() == dataSets.size(), "dataSets", "different names", names);
  }

  private static void require(boolean holds, String setting, String expected, Object got) {
    if (!holds) {
      throw new IllegalArgumentException(
          setting
              + ": expected "
              + expected
              + ", got "
              + got
              + "; mend: change it in the study's configuration");
    }
  }

  /** The default study of the embedded model. */
  public static StudyConfig defaults() {
    try {
      return YAML.treeToValue(defaultTree(), StudyConfig.class);
    } catch (IOException e) {
      throw new IllegalStateException("the default study is part of the build", e);
    }
  }

  /**
   * Reads a YAML file; what it does not say is as in the default study. Paths in it are relative to
   * it.
   *
   * @throws SaeFormatException if it is not YAML or holds an unknown setting or a wrong value
   */
  public static StudyConfig read(Path file) throws IOException {
    JsonNode tree = defaultTree();
    try {
      JsonNode given = YAML.readTree(file.toFile());
      if (given instanceof ObjectNode changes) {
        merge((ObjectNode) tree, changes);
      } else if (!given.isMissingNode() && !given.isNull()) {
        throw new SaeFormatException(
            file,
            "study",
            "expected settings, got " + given.getNodeType() + "; mend: see the default study");
      }
      return YAML.treeToValue(tree, StudyConfig.class)
          .relativeTo(file.toAbsolutePath().getParent());
    } catch (JsonMappingException e) {
      Throwable cause = e.getCause() instanceof IllegalArgumentException own ? own : e;
      String problem = cause == e ? e.getOriginalMessage() : String.valueOf(cause.getMessage());
      throw new SaeFormatException(file, where(e), problem);
    } catch (JsonProcessingException e) {
      throw new SaeFormatException(
          file, "line " + e.getLocation().getLineNr(), e.getOriginalMessage());
    }
  }

  /** The same study of another model. */
  public StudyConfig withModel(String folder) {
    return new StudyConfig(
        folder,
        hook,
        context,
        batchSequences,
        filter,
        dataSets,
        seeds,
        sae,
        training,
        evaluation,
        sharedFeatures,
        fakeFeatures,
        bootstrap,
        samples);
  }

  private StudyConfig relativeTo(@Nullable Path folder) {
    List<DataSet> resolved =
        dataSets.stream()
            .map(
                set ->
                    new DataSet(
                        set.name(),
                        set.generate(),
                        resolve(folder, set.file()),
                        set.lowerCase(),
                        set.tokens()))
            .toList();
    return new StudyConfig(
        resolve(folder, model),
        hook,
        context,
        batchSequences,
        filter,
        resolved,
        seeds,
        sae,
        training,
        evaluation,
        sharedFeatures,
        fakeFeatures,
        bootstrap,
        samples);
  }

  private static @Nullable String resolve(@Nullable Path folder, @Nullable String file) {
    return file == null || folder == null || file.equals("embedded")
        ? file
        : folder.resolve(file).normalize().toString();
  }

  private static void merge(ObjectNode into, ObjectNode changes) {
    for (Map.Entry<String, JsonNode> change : changes.properties()) {
      if (into.get(change.getKey()) instanceof ObjectNode deeper
          && change.getValue() instanceof ObjectNode part) {
        merge(deeper, part);
      } else {
        into.set(change.getKey(), change.getValue());
      }
    }
  }

  private static String where(JsonMappingException e) {
    String path =
        e.getPath().stream()
            .map(
                part ->
                    part.getFieldName() == null ? "[" + part.getIndex() + "]" : part.getFieldName())
            .collect(Collectors.joining("."));
    return path.isEmpty() ? "study" : path;
  }

  private static JsonNode defaultTree() throws IOException {
    try (InputStream in = StudyConfig.class.getResourceAsStream("default-study.yaml")) {
      return YAML.readTree(in);
    }
  }
}
