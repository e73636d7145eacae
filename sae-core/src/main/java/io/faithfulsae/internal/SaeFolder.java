package io.faithfulsae.internal;

import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeFormat;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** An SAE on disk, in any format. */
public final class SaeFolder {
  /** Name of the configuration file. */
  public static final String CONFIG_FILE = "cfg.json";

  /** Name of the weights file. */
  public static final String WEIGHTS_FILE = "sae_weights.safetensors";

  private static final String SPARSITY_FILE = "sparsity.safetensors";
  private static final String SPARSITY = "sparsity";

  private final SaeFormat.Stored file;
  private final String writer;

  private SaeFolder(SaeLayouts.Opened opened) {
    this.file = opened.stored();
    this.writer = opened.format().name();
  }

  /**
   * Reads the configuration of an SAE in any format that {@link SaeLayouts} knows.
   *
   * @throws SaeFormatException if they do not match, or it is no SAE that can be read
   */
  public static SaeFolder open(Path path) throws IOException {
    return new SaeFolder(SaeLayouts.open(path));
  }

  /** All formats, the built-in ones first. */
  public static List<SaeFormat> formats() {
    return Stream.concat(SaeLayouts.builtIn().stream(), AddedFormat.all().stream()).toList();
  }

  /**
   * A format by its name, in upper or lower case.
   *
   * @throws IllegalArgumentException if there is none
   */
  public static SaeFormat format(String name) {
    for (SaeFormat format : formats()) {
      if (format.name().equalsIgnoreCase(name)) {
        return format;
      }
    }
    throw new IllegalArgumentException(
        Expected.message(
            "one of the installed formats " + formats().stream().map(SaeFormat::name).toList(),
            name,
            "choose one, or add its jar to the class path"));
  }

  /** The built-in format of a name. */
  public static SaeFormat builtIn(String name) {
    return SaeLayouts.builtIn().stream()
        .filter(format -> format.name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  /** The configuration, after what {@link #readWeights} folds into the weights. */
  public SaeConfig config() {
    return file.config();
  }

  /** The metadata; values that are not strings as JSON. */
  public Map<String, String> metadata() {
    return file.metadata();
  }

  /** The library whose format it is in. */
  public String writer() {
    return writer;
  }

  /** The file with the weights. */
  public Path weights() {
    return file.weights();
  }

  /**
   * Log10 of how often each latent fires, as SAELens measures it when it trains.
   *
   * @return one for each latent; empty if there is no {@code sparsity.safetensors}
   */
  public float[] logFrequencies() throws IOException {
    Path path = file.weights().resolveSibling(SPARSITY_FILE);
    if (!Files.exists(path)) {
      return new float[0];
    }
    try (Safetensors tensors = Safetensors.open(path)) {
      if (!tensors.entry(SPARSITY).shape().equals(List.of((long) config().dSae()))) {
        throw new SaeFormatException(
            path,
            SPARSITY,
            Expected.message(
                "shape [" + config().dSae() + "]",
                tensors.entry(SPARSITY).shape(),
                "delete the file, or restore it"));
      }
      FloatBuffer values = FloatBuffer.allocate(config().dSae());
      tensors.readFloats(SPARSITY, 0, values);
      return values.array();
    }
  }

  /**
   * Reads the weights into an SAE of this configuration.
   *
   * @throws SaeFormatException if one is not finite, or the file is damaged
   */
  public void readWeights(BackendSae into) throws IOException {
    file.readWeights(into);
  }

  /**
   * Writes a folder; each file to a temporary file that is renamed, the configuration last.
   *
   * @throws NonFiniteException if a weight is NaN or infinite; the folder is left unchanged
   */
  public static void write(
      Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    write(dir, config, metadata, from, 1);
  }

  /**
   * Writes an SAE that was trained on activations times {@code activationScale}. The factor is
   * folded into the weights, so that the saved SAE takes unscaled activations.
   *
   * @throws NonFiniteException if a weight is NaN or infinite; the folder is left unchanged
   */
  public static void write(
      Path dir,
      SaeConfig config,
      Map<String, String> metadata,
      BackendSae from,
      double activationScale)
      throws IOException {
    WeightsWriter weights = new WeightsWriter(config, from, activationScale);
    String checksum =
        Safetensors.write(dir.resolve(WEIGHTS_FILE), Map.of(), saeLensTensors(config, weights));
    SaeConfigFile.write(dir, config, metadata, checksum);
  }

  /**
   * Writes a folder in another library's format.
   *
   * @throws IllegalArgumentException if the format cannot express the SAE; nothing is written
   * @throws IOException if the folder has an SAE in another format, or cannot be written
   * @throws NonFiniteException if a weight is NaN or infinite; the folder is left unchanged
   */
  public static void write(
      Path dir, SaeFormat format, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    if (format instanceof Layout) {
      format.write(dir, config, metadata, from);
      return;
    }
    for (SaeFormat other : SaeLayouts.builtIn()) { // would be read in place of this one
      if (other.recognizes(dir)) {
        throw new IOException(
            Expected.message(
                "a folder without an SAE in another format",
                dir + " of " + other.name(),
                "save to another folder"));
      }
    }
    SaeFormat added =
        format instanceof AddedFormat ? format : new AddedFormat(format, format.name());
    added.write(dir, config, metadata, from);
  }

  static void writeSaeLens(
      Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    SaeLensLimits.check(config, metadata);
    requireOnly(dir, WEIGHTS_FILE);
    write(dir, config, metadata, from);
  }

  static void writeSparsify(
      Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    SparsifyWriter.check(config);
    requireOnly(dir, SparsifyLayout.WEIGHTS_FILE);
    SparsifyWriter.write(dir, config, metadata, from);
  }

  static void writeDictionaryLearning(
      Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    DictionaryLearningWriter.check(config);
    requireOnly(dir, DictionaryLearningLayout.WEIGHTS_FILE);
    DictionaryLearningWriter.write(dir, config, metadata, from);
  }

  /** A folder with the files of two formats would be read as either. */
  private static void requireOnly(Path dir, String own) throws IOException {
    for (String other :
        List.of(WEIGHTS_FILE, SparsifyLayout.WEIGHTS_FILE, DictionaryLearningLayout.WEIGHTS_FILE)) {
      if (!other.equals(own) && Files.exists(dir.resolve(other))) {
        throw new IOException(
            Expected.message(
                "a folder without an SAE in another format",
                dir.resolve(other),
                "save to another folder"));
      }
    }
  }

  private static List<Safetensors.Tensor> saeLensTensors(SaeConfig config, WeightsWriter weights) {
    boolean gated = config.activation() instanceof Gated;
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    tensors.add(weights.transposed("W_enc", Tensor.W_ENC));
    tensors.add(weights.plain(gated ? "b_gate" : "b_enc", Tensor.B_ENC));
    tensors.add(weights.plain("W_dec", Tensor.W_DEC));
    tensors.add(weights.plain("b_dec", Tensor.B_DEC));
    if (gated) {
      tensors.add(weights.plain("r_mag", Tensor.R_MAG));
      tensors.add(weights.plain("b_mag", Tensor.B_MAG));
    }
    if (config.skip()) {
      tensors.add(weights.plain("W_skip", Tensor.W_SKIP));
    }
    if (config.activation() instanceof BatchTopK batch && batch.threshold() == null) {
      tensors.add(WeightsWriter.scalar("topk_threshold", DType.F64, 0)); // not learned
    } else if (config.activation().tensors().contains(Tensor.THRESHOLD)) {
      tensors.add(weights.plain("threshold", Tensor.THRESHOLD));
    }
    return tensors;
  }
}
